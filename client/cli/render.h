#pragma once

#include <string>
#include <vector>

#include "client/cli/story.h"
#include "client/cli/text.h"

namespace hone::client::cli {

// The picture of a job that runs: bar, numbers, curve, layers, warnings. At most `height` lines of
// `width` columns.
std::vector<Line> RenderLive(const Story& story, int width, int height);

// One line about where training stands, for output that is no terminal:
// "epoch 1 of 5   step 1,875 of 9,375   loss 0.2031   …", with the latest validation only where it
// is new.
std::string ProgressLine(const Story& story, bool with_validation);

// "mnist-cnn: 121,930 parameters, …", once training begins.
std::string StartLine(const v1::Started& started, const std::string& display_name);

// What the preparation found: one line for the source, one for each split, one for what was
// dropped.
std::vector<std::string> DataLines(const v1::DataReport& report);

// Norms of gradient and weights, share of dead units and verdict of each layer, in at most so many
// lines; of more layers than fit, the first and the last.
std::vector<Line> RenderLayers(const v1::LayerStatistics& statistics, int most_lines);

// After the end: how it ended, the final numbers, the classes, the confusion matrix, the layers,
// the verdict.
std::vector<Line> RenderEnd(const Story& story);

// A final number: its name and its value as a person reads them, and the place of the name in a
// list: the measure of success first, what it cost last.
std::string MetricLabel(const std::string& name);
std::string MetricText(const std::string& name, double value);
int MetricRank(const std::string& name);
// How good a model is, in its label and one number: "test accuracy 99.1 %"; "" where there is none.
std::string FinalResult(const v1::Evaluation& evaluation);

// `share` of [0, 1] as a bar of `columns` columns.
std::string Bar(double share, int columns);

}  // namespace hone::client::cli

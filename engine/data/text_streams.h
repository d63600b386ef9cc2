#pragma once

#include <algorithm>
#include <cstdint>

namespace hone::engine::data {

// A text of so many tokens to foretell, cut into streams of equal length that are read side by
// side, a window of each at a time: what a model that carries its state from window to window
// reads. The windows are numbered as they are read, those of one turn by their streams. The first
// streams have a token more where they do not come out even; a stream's last window is as short as
// it comes out. With one stream these are the text's windows one behind the other.
struct TextStreams {
  int64_t tokens = 0;
  int64_t streams = 1;
  int64_t window = 1;

  struct Window {
    int64_t begin = 0;   // of the text
    int64_t length = 0;  // tokens that it foretells
    int64_t stream = 0;
    bool goes_on = false;  // the stream's window before ends where it begins
  };

  int64_t windows() const {
    const int64_t turns = Turns(tokens / streams), longer = tokens % streams;
    return turns * streams + (Turns(tokens / streams + 1) > turns ? longer : 0);
  }
  Window at(int64_t number) const {
    const int64_t stream = number % streams, turn = number / streams;
    const int64_t each = tokens / streams, longer = tokens % streams;
    const int64_t length = each + (stream < longer ? 1 : 0);
    return {.begin = stream * each + std::min(stream, longer) + turn * window,
            .length = std::min(window, length - turn * window),
            .stream = stream,
            .goes_on = turn > 0};
  }

 private:
  int64_t Turns(int64_t length) const { return (length + window - 1) / window; }
};

}  // namespace hone::engine::data

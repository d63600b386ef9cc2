#include "server/translate/optimizer.h"

#include "server/translate/as_written.h"

namespace hone::server::translate {
namespace {

namespace optim = engine::optim;

}  // namespace

optim::OptimizerOptions ToOptimizer(const v1::Optimizer& in) {
  if (in.has_sgd()) {
    optim::Sgd out;
    HONE_TAKE(in.sgd(), learning_rate, out);
    HONE_TAKE(in.sgd(), momentum, out);
    HONE_TAKE(in.sgd(), weight_decay, out);
    out.nesterov = in.sgd().nesterov();
    return out;
  }
  if (in.has_adamw()) {
    optim::AdamW out;
    HONE_TAKE(in.adamw(), learning_rate, out);
    HONE_TAKE(in.adamw(), beta1, out);
    HONE_TAKE(in.adamw(), beta2, out);
    HONE_TAKE(in.adamw(), epsilon, out);
    HONE_TAKE(in.adamw(), weight_decay, out);
    out.lazy = in.adamw().lazy();
    return out;
  }
  if (in.has_rmsprop()) {
    optim::RmsProp out;
    HONE_TAKE(in.rmsprop(), learning_rate, out);
    HONE_TAKE(in.rmsprop(), decay, out);
    HONE_TAKE(in.rmsprop(), epsilon, out);
    HONE_TAKE(in.rmsprop(), momentum, out);
    HONE_TAKE(in.rmsprop(), weight_decay, out);
    out.centered = in.rmsprop().centered();
    return out;
  }
  optim::Adam out;
  HONE_TAKE(in.adam(), learning_rate, out);
  HONE_TAKE(in.adam(), beta1, out);
  HONE_TAKE(in.adam(), beta2, out);
  HONE_TAKE(in.adam(), epsilon, out);
  HONE_TAKE(in.adam(), weight_decay, out);
  out.lazy = in.adam().lazy();
  return out;
}

optim::Schedule ToSchedule(const v1::Schedule& in) {
  optim::Schedule out{.warmup_steps = in.warmup_steps(), .kind = optim::ConstantRate{}};
  if (in.has_step()) {
    optim::StepDecay step{.every_epochs = in.step().every_epochs()};
    HONE_TAKE(in.step(), factor, step);
    out.kind = step;
  } else if (in.has_exponential()) {
    optim::ExponentialDecay exponential;
    HONE_TAKE(in.exponential(), factor_per_epoch, exponential);
    out.kind = exponential;
  } else if (in.has_cosine()) {
    optim::CosineDecay cosine;
    HONE_TAKE(in.cosine(), final_factor, cosine);
    out.kind = cosine;
  } else if (in.has_linear()) {
    optim::LinearDecay linear;
    HONE_TAKE(in.linear(), final_factor, linear);
    out.kind = linear;
  } else if (in.has_one_cycle()) {
    optim::OneCycle cycle;
    HONE_TAKE(in.one_cycle(), rising_share, cycle);
    out.kind = cycle;
  } else if (in.has_plateau()) {
    optim::Plateau plateau;
    HONE_TAKE(in.plateau(), factor, plateau);
    HONE_TAKE(in.plateau(), patience, plateau);
    HONE_TAKE(in.plateau(), min_delta, plateau);
    out.kind = plateau;
  }
  return out;
}

}  // namespace hone::server::translate

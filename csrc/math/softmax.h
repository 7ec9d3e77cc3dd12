// The softmax of logits that come one group after the other, on numbers and on vectors of them.
//
// Note [Running softmax]. Kept are the largest logit so far and the sum of 2^(k (z - largest)) over the logits z so
// far; with k = log2(e) / T that is the sum below softmax(z / T). A group of logits raises the largest once and
// rescales the sum once: 1 + 1 / group exponentials a logit. The largest starts at the lowest finite number of its
// type, because a difference of infinities would be NaN, and takes no NaN: that reaches the sum through the
// exponential.
#pragma once

#include "scalar.h"

namespace fastcolor::math {

template <class V>
struct Softmax {
  V largest = Lanes<V>::lowest(), sum{};

  // Before a group of logits is added: raises `largest` to `raised`, the larger of both. Returns what sums so far under
  // the same weights have to be multiplied by.
  template <class C>
  FC_HD V raise(V raised, C k) {
    const V shrink = Lanes<V>::exp2((largest - raised) * k);
    largest = raised;
    sum *= shrink;
    return shrink;
  }
  template <int bins, class C>
  FC_HD V raise(const V (&logit)[bins], C k) {
    V raised = largest;
    for (int i = 0; i < bins; i++) raised = Lanes<V>::max(logit[i], raised);
    return raise(raised, k);
  }
  // Adds a logit that is at most `largest`. Returns its weight.
  template <class C>
  FC_HD V add(V logit, C k) {
    const V weight = Lanes<V>::exp2((logit - largest) * k);
    sum += weight;
    return weight;
  }
  // Joins another part of the logits. Returns what sums of this part and of the other have to be multiplied by.
  struct Shares {
    V mine, theirs;
  };
  template <class C>
  FC_HD Shares merge(const Softmax& other, C k) {
    const V raised = Lanes<V>::max(other.largest, largest);
    const Shares shares = {Lanes<V>::exp2((largest - raised) * k), Lanes<V>::exp2((other.largest - raised) * k)};
    largest = raised;
    sum = sum * shares.mine + other.sum * shares.theirs;
    return shares;
  }
};

}  // namespace fastcolor::math

// Whether jobs with heads and tails can follow each other on one machine in time.
//
// Idea       A job starts no earlier than its head, and its tail has to pass after it, by the end.
//            Jackson's rule: of the jobs that are there the one with the longest tail runs, and is
//            interrupted when one with a longer tail comes. That is the best schedule if jobs may
//            be interrupted, so what it cannot do nobody can who may not.
// Guarantee  `fits` says no only if no order of the jobs ends in time; O(jobs log jobs).
// Paper      Carlier, "The one-machine sequencing problem", EJOR 11(1), 1982.
#pragma once

#include <algorithm>
#include <cstddef>
#include <limits>
#include <vector>

namespace acumen::placement {

struct Job {
  double head, seconds, tail;
};

class OneMachine {
 public:
  /// Whether the jobs may all be done, tails included, `t` seconds from now; changes their order.
  bool fits(std::vector<Job>& jobs, double t) {
    if (jobs.empty()) return true;
    double work = 0.0, head = kNever, tail = kNever;
    for (const Job& job : jobs) {
      work += job.seconds;
      head = std::min(head, job.head);
      tail = std::min(tail, job.tail);
    }
    if (head + work + tail > t) return false;
    std::sort(jobs.begin(), jobs.end(), [](const Job& a, const Job& b) { return a.head < b.head; });
    return interrupted(jobs, t);
  }

 private:
  static constexpr double kNever = std::numeric_limits<double>::infinity();

  bool interrupted(const std::vector<Job>& jobs, double t) {
    const auto shorter = [](const Job& a, const Job& b) { return a.tail < b.tail; };
    ready_.clear();
    double now = 0.0;
    for (std::size_t next = 0; next < jobs.size() || !ready_.empty();) {
      if (ready_.empty()) now = std::max(now, jobs[next].head);
      for (; next < jobs.size() && jobs[next].head <= now; ++next) {
        ready_.push_back(jobs[next]);
        std::push_heap(ready_.begin(), ready_.end(), shorter);
      }
      Job& longest = ready_.front();
      const double until = next < jobs.size() ? jobs[next].head : kNever;
      if (now + longest.seconds > until) {
        longest.seconds -= until - now;
        now = until;
        continue;
      }
      now += longest.seconds;
      if (now + longest.tail > t) return false;
      std::pop_heap(ready_.begin(), ready_.end(), shorter);
      ready_.pop_back();
    }
    return true;
  }

  std::vector<Job> ready_;
};

}  // namespace acumen::placement

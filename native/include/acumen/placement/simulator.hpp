// One step of a program on several devices: when everything runs, and what every device holds.
//
// Idea       Events. A device runs one operator at a time; an operator is ready when all that it
//            reads is on its device. A channel carries one copy at a time (or, without contention,
//            any number), beside what devices compute. Time goes on in rounds, a round being all
//            that ends at one instant:
//              1. What ends, ends. Tensors are there for their readers; what nobody needs any
//                 longer is given up: where it was made, a tensor is needed until its last reader
//                 there and its last copy from there have ended, where it was copied to, until its
//                 last reader there has. What nobody reads goes when its producer ends: what is to
//                 outlive the step (parameters, the optimiser's state) is resident.
//              2. A tensor that was made in this round joins the queues of the channels to all
//                 other devices where it is read, once each; these copies queue by tensor, then
//                 by destination.
//              3. A channel that carries nothing starts the first copy of its queue; a device that
//                 runs nothing starts the ready operator of the lowest (priority, number). What
//                 starts takes its bytes: an operator all that it makes, a copy the tensor at its
//                 destination. It ends in a later round, which is of the same time if it takes 0
//                 seconds.
//            The first round is at time 0, and nothing ends in it.
// Guarantee  The answer depends on nothing else: not on the order in which what ends at the same
//            time is looked at. Every end is one sum, start + duration, a copy's duration being
//            latency + bytes / bandwidth; so another program that follows these rules finds the
//            same bits. An operator on a device where it cannot run ends at infinity, as does the
//            step; operators that wait for each other make it infinite, too. Linear in operators
//            and reads but for the queue of what runs. Nothing is allocated but by the constructor.
// Layout     Tensors are renumbered by their producers, so that what an operator makes, and who
//            reads it, lies together; a copy's readers are a list through the reads of its tensor.
//            Who holds bytes: tensor t at home is holder t, copy c is holder m + c; a read notes
//            which of them it uses, in the order of readers.
// Papers     R. L. Graham, "Bounds on multiprocessing timing anomalies", SIAM J. Appl. Math. 17(2),
//            1969 (list scheduling); R. Addanki et al., "Placeto: learning generalizable device
//            placement algorithms for distributed machine learning", NeurIPS 2019 (such a simulator
//            for placement).
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>
#include <vector>

#include "acumen/placement/end_queue.hpp"
#include "acumen/placement/ready_sets.hpp"
#include "acumen/placement/run_order.hpp"
#include "acumen/placement/step_graph.hpp"

namespace acumen::placement {

/// A copy that was made; times in seconds.
struct CopyRun {
  std::uint32_t tensor, from, to;
  double start, end;
};

/// Where a plan is wrong: no operator of it is, or the first that is.
constexpr std::size_t kNowhere = std::numeric_limits<std::size_t>::max();

class StepSimulator {
 public:
  /// For a graph that validate() lets through; it is copied.
  StepSimulator(const StepGraph& graph, bool contention);

  std::size_t operators() const { return operators_.size() - 1; }
  std::size_t devices() const { return kind_.size(); }

  /// The first operator whose device does not exist; kNowhere: there is none.
  std::size_t misplaced(std::span<const std::int32_t> device) const {
    for (std::size_t op = 0; op < device.size(); ++op)
      if (static_cast<std::uint32_t>(device[op]) >= devices()) return op;
    return kNowhere;
  }

  /// Seconds of the step. `device` has a device that exists for each operator; `priority` has a
  /// number for each, or is empty.
  double seconds(std::span<const std::int32_t> device, std::span<const std::int32_t> priority) {
    return run<false, false>(device, priority);
  }

  /// The same; fills busy_seconds() and peak_bytes().
  double simulate(std::span<const std::int32_t> device, std::span<const std::int32_t> priority) {
    return run<true, false>(device, priority);
  }

  /// The same; fills also starts(), ends() and copy_run(i).
  double timeline(std::span<const std::int32_t> device, std::span<const std::int32_t> priority) {
    starts_.assign(operators(), std::numeric_limits<double>::infinity());
    ends_ = starts_;
    copy_start_.assign(reads_.size(), std::numeric_limits<double>::infinity());
    copy_end_ = copy_start_;
    return run<true, true>(device, priority);
  }

  std::span<const double> busy_seconds() const { return busy_; }
  std::span<const std::int64_t> peak_bytes() const { return peak_; }
  std::span<const double> starts() const { return starts_; }
  std::span<const double> ends() const { return ends_; }
  std::size_t copies() const { return copy_count_; }
  CopyRun copy_run(std::size_t i) const {
    const Copy& copy = copies_[i];
    return {tensors_[copy.tensor].number, copy.from, copy.to, copy_start_[i], copy_end_[i]};
  }

 private:
  static constexpr std::uint32_t kNone = std::numeric_limits<std::uint32_t>::max();
  struct Operator {
    std::int64_t made_bytes, resident_bytes;
    std::uint32_t first_tensor, first_slot;  // those of the next operator lie behind
  };
  struct Tensor {
    std::int64_t bytes;
    double copy_seconds;
    std::uint32_t first_read;
    std::uint32_t number;  // in the graph
  };
  struct Read {
    std::uint32_t consumer;
    std::uint32_t slot;  // among the reads in the order of their consumers
  };
  struct Placed {
    double seconds;
    std::uint32_t device, rank, missing;
  };
  struct Copy {
    std::uint32_t tensor, from, to, channel;
    std::uint32_t next;  // in the channel's queue
    std::uint32_t first_read;
  };
  struct Channel {
    double latency_seconds, bytes_per_second;
    std::uint32_t first = kNone, last = kNone;  // the queue; the first is on its way
  };
  struct Holder {
    std::int64_t bytes;
    std::uint32_t users;
  };
  struct Fresh {
    std::uint64_t key;  // tensor, destination
    std::uint32_t copy;
    bool operator<(const Fresh& other) const { return key < other.key; }
  };

  void number_tensors(const StepGraph& graph);
  void number_reads();

  void place(std::span<const std::int32_t> device, std::span<const std::uint32_t> order);
  void take_bytes(std::size_t device, std::int64_t bytes) {
    level_[device] += bytes;
    peak_[device] = std::max(peak_[device], level_[device]);
  }
  void arrive(std::uint32_t op);
  template <bool kMemory>
  void release(std::uint32_t holder, std::size_t device);
  template <bool kMemory>
  void hand_out(std::uint32_t tensor, std::uint32_t device);
  std::uint32_t copy_to(std::uint32_t tensor, std::uint32_t from, std::uint32_t to);
  template <bool kMemory>
  void end_operator(std::uint32_t device);
  template <bool kMemory>
  void end_copy(std::uint32_t index);
  template <bool kMemory, bool kLog>
  void start_copy(std::uint32_t index, double now);
  template <bool kMemory, bool kLog>
  void start_copies(double now);
  template <bool kMemory, bool kLog>
  void start_operators(double now);
  template <bool kMemory, bool kLog>
  double run(std::span<const std::int32_t> device, std::span<const std::int32_t> priority);

  // The graph and the cluster.
  bool contention_;
  std::size_t kinds_;
  bool timed_copies_;
  std::vector<Operator> operators_;  // n + 1
  std::vector<Tensor> tensors_;      // m + 1
  std::vector<Read> reads_;          // k
  std::vector<double> seconds_;      // n · kinds, a row an operator
  std::vector<std::uint32_t> kind_;
  std::vector<std::uint32_t> route_;
  // The plan.
  RunOrder order_;
  std::vector<Placed> placed_;
  std::vector<std::uint32_t> by_rank_;  // device after device
  std::vector<std::uint32_t> counts_, first_rank_;
  // The step.
  ReadySets ready_;
  EndQueue running_;  // devices, then copies
  std::vector<Channel> channels_;
  std::vector<std::uint32_t> current_;  // what each device runs
  std::vector<Copy> copies_;
  std::size_t copy_count_ = 0;
  std::vector<std::uint32_t> next_read_;
  std::vector<std::uint32_t> open_;     // for each device a copy of the tensor that is handed out
  std::vector<Fresh> fresh_;            // copies that this round made possible
  std::vector<std::uint32_t> vacated_;  // channels whose copy has ended in this round
  std::vector<std::uint32_t> awake_;    // devices that may have something to start
  std::vector<std::uint8_t> is_awake_;
  std::vector<Holder> holders_;      // m + k
  std::vector<std::uint32_t> used_;  // k: the holder of each read
  std::vector<std::int64_t> level_, peak_;
  std::vector<double> busy_, starts_, ends_, copy_start_, copy_end_;
};

}  // namespace acumen::placement

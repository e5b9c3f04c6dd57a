// One step of a program on several devices: when everything runs, and what every device holds.
//
// Idea       Events. A device runs one operator at a time; an operator is ready when all that it
//            reads is on its device. A channel carries one copy at a time (or, without contention,
//            any number), beside what devices compute. Time goes on in rounds; a round is all that
//            ends at one instant:
//              1. Operators that end, end.
//              2. What they made is copied to all other devices where it is read, once each. In the
//                 order of tensors, then of destinations, each copy is given its time: it starts at
//                 once or when its channel's copy before it ends, and takes latency +
//                 bytes / bandwidth, or what the tensor itself says.
//              3. Copies that end, end; those that were given their time just now and take 0
//                 seconds, too. Operators that have all that they read are ready.
//              4. A device that runs nothing starts the ready operator of the lowest (priority,
//                 number). It ends in a later round, which is of the same time if it takes 0
//                 seconds.
//            The first round is at time 0, and nothing ends in it.
//            A device holds its operators' resident bytes, always, and tensors: where it is made
//            a tensor is held from its producer's start until the end of its last reader there and
//            of its last copy from there; where it is copied to, from the copy's start until the
//            end of its last reader there. What nobody reads goes when its producer ends: what is
//            to outlive the step (parameters, the optimiser's state) is resident. The peak is the
//            most that is held at any round's end.
// Guarantee  The answer depends on nothing else: not on the order in which what ends at the same
//            time is looked at. Every end is one sum, start + duration; so another program that
//            follows these rules finds the same bits. An operator on a device where it cannot run
//            ends at infinity, as does the step; operators that wait for each other make it
//            infinite, too. Linear in operators and reads but for the queue of what runs. Once it
//            has simulated a step, nothing is allocated.
// Speed      A copy's times are known when it becomes possible, so who wants only the seconds need
//            not see it end: its readers are told when it will, and an operator for which all is
//            told is looked at once more, at the latest of these times. Who wants to know memory
//            sees all copies start and end.
// Layout     A step of 80,000 operators does not fit into the nearer caches, and operators are not
//            met in their order: records are small, what is needed together lies together, what is
//            counted down at every read has small arrays of its own, and what is known to be
//            needed is fetched beforehand. Tensors are
//            renumbered by their producers, so that an operator's tensors and their reads lie
//            together. Who holds bytes: tensor t at home is holder t, copy c is holder m + c; each
//            read notes which of them it uses, in the order of consumers.
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
  struct Operator {  // what is not there lies with the next one
    std::int64_t made_bytes;
    std::uint32_t first_tensor, first_read, first_slot;
  };
  struct Tensor {
    std::int64_t bytes;
    std::uint32_t first_read;
    std::uint32_t number;  // in the graph
  };
  struct Read {
    std::uint32_t consumer;
    std::uint32_t slot;  // among the reads in the order of their consumers
  };
  struct Remote {
    std::uint32_t consumer, slot, device;
  };
  struct Turn {
    double seconds;
    std::uint32_t op;
  };
  struct Copy {
    double end;
    std::uint32_t tensor;
    std::uint32_t next;  // in the channel's queue
    std::uint32_t first_reader, readers;
    std::uint16_t from, to, channel;
  };
  struct Channel {
    double latency_seconds, bytes_per_second;
    double free = 0.0;
    std::uint32_t first = kNone, last = kNone;  // the queue; the first is on its way
  };
  struct Made {
    std::uint32_t number, tensor, device;
    bool operator<(const Made& other) const { return number < other.number; }
  };

  void number_tensors(const StepGraph& graph);
  void number_reads();

  void clear(std::span<const std::int32_t> device);
  template <bool kMemory>
  void place(std::span<const std::uint32_t> order);
  void take_bytes(std::uint32_t device, std::int64_t bytes) {
    level_[device] += bytes;
    raised_.push_back(device);
  }
  void release(std::uint32_t holder, std::size_t device) {
    if (--users_[holder] == 0) level_[device] -= held_bytes(holder);
  }
  std::int64_t held_bytes(std::uint32_t holder) const {
    const auto tensors = static_cast<std::uint32_t>(tensors_.size()) - 1;
    return tensors_[holder < tensors ? holder : copies_[holder - tensors].tensor].bytes;
  }
  void wake(std::uint32_t device);
  void make_ready(std::uint32_t op);
  void tell(std::uint32_t op, double when);
  void arrive(std::uint32_t op);
  double copy_end(std::uint32_t tensor, std::uint32_t channel);
  template <bool kLog>
  std::uint32_t queue_copy(std::uint32_t tensor, std::uint32_t from, std::uint32_t to,
                           std::uint32_t readers);
  void add_reader(std::uint32_t index, const Remote& remote);
  void send(std::uint32_t index);
  void move_copies(std::uint32_t index);
  std::uint32_t end_copy(std::uint32_t index);
  void find_destinations(std::size_t remotes);
  void tell_remotes(std::uint32_t tensor, std::uint32_t device, std::size_t remotes);
  template <bool kLog>
  void copy_to_remotes(std::uint32_t tensor, std::uint32_t device, std::size_t remotes);
  template <bool kMemory, bool kLog>
  void hand_out(std::uint32_t tensor, std::uint32_t device);
  template <bool kMemory, bool kLog>
  void end_operators();
  template <bool kMemory, bool kLog>
  void start_operators();
  template <bool kMemory, bool kLog>
  double run(std::span<const std::int32_t> device, std::span<const std::int32_t> priority);

  // The graph and the cluster.
  bool contention_;
  std::size_t kinds_;
  std::vector<Operator> operators_;  // n + 1
  std::vector<Tensor> tensors_;      // m + 1
  std::vector<Read> reads_;          // k
  std::vector<double> seconds_;      // n · kinds, a row an operator
  std::vector<std::int64_t> resident_bytes_;
  std::vector<std::uint32_t> read_count_;
  std::vector<double> copy_seconds_;  // m, or none
  std::vector<std::uint32_t> kind_;
  std::vector<std::uint16_t> route_;
  // The plan.
  RunOrder order_;
  std::vector<std::uint16_t> device_;
  std::vector<std::uint32_t> rank_;     // on its device
  std::vector<std::uint32_t> missing_;  // what it reads and has not got
  std::vector<double> told_;            // the latest time at which something will be there
  std::vector<Turn> turns_;             // device after device, by rank
  std::vector<std::uint32_t> counts_, first_rank_;
  // The step.
  double now_ = 0.0;
  ReadySets ready_;
  EndQueue running_;  // devices; then copies, or operators that will be ready
  std::vector<Channel> channels_;
  std::vector<std::uint32_t> current_;  // what each device runs
  std::vector<std::uint32_t> ended_;    // devices whose operators end in this round
  std::vector<Made> made_;              // what several operators that end together made
  std::vector<std::uint32_t> awake_;    // devices that may have something to start
  std::vector<std::uint8_t> is_awake_;
  // The tensor that is handed out.
  std::vector<Remote> remotes_;  // its readers on other devices
  std::vector<std::uint32_t> destinations_;
  std::vector<std::uint32_t> readers_at_;  // each of them
  std::vector<double> there_;              // when it is there
  std::vector<std::uint32_t> copy_at_;     // its copy there
  // Copies and memory; only where that is asked for.
  std::vector<Copy> copies_;
  std::vector<std::uint32_t> readers_;  // of the copies, one copy's after another's
  std::size_t copy_count_ = 0, reader_count_ = 0;
  std::vector<std::uint32_t> users_;   // m + k, of each holder
  std::vector<std::uint32_t> used_;    // k: the holder of each read
  std::vector<std::uint32_t> raised_;  // devices that hold more since this round
  std::vector<std::int64_t> level_, peak_;
  std::vector<double> busy_, starts_, ends_, copy_start_, copy_end_;
};

}  // namespace acumen::placement

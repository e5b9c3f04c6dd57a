// The rules: acumen/placement/simulator.hpp.
#include <algorithm>
#include <numeric>

#include "acumen/placement/simulator.hpp"

namespace acumen::placement {

namespace {

/// Where each of `buckets` begins if `of` says to which each item belongs; buckets + 1 numbers.
std::vector<std::uint32_t> begins(std::span<const std::int32_t> of, std::size_t buckets) {
  std::vector<std::uint32_t> first(buckets + 1);
  for (const std::int32_t bucket : of) ++first[static_cast<std::size_t>(bucket) + 1];
  std::partial_sum(first.begin(), first.end(), first.begin());
  return first;
}

}  // namespace

StepSimulator::StepSimulator(const StepGraph& graph, bool contention)
    : contention_(contention),
      kinds_(graph.kinds()),
      timed_copies_(!graph.copy_seconds.empty()),
      operators_(graph.operators() + 1),
      seconds_(graph.seconds.size()),
      kind_(graph.kind.begin(), graph.kind.end()),
      route_(graph.route.begin(), graph.route.end()),
      order_(graph.operators()),
      placed_(graph.operators()),
      by_rank_(graph.operators()),
      counts_(graph.devices()),
      first_rank_(graph.devices()),
      ready_(graph.devices(), graph.operators()),
      running_(graph.devices() + graph.consumers.size()),
      current_(graph.devices()),
      copies_(graph.consumers.size()),
      next_read_(graph.consumers.size()),
      open_(graph.devices(), kNone),
      is_awake_(graph.devices()),
      holders_(graph.tensors() + graph.consumers.size()),
      used_(graph.consumers.size()),
      level_(graph.devices()),
      peak_(graph.devices()),
      busy_(graph.devices()) {
  for (std::size_t op = 0; op < operators(); ++op) {
    operators_[op].resident_bytes = graph.resident_bytes[op];
    for (std::size_t kind = 0; kind < kinds_; ++kind)
      seconds_[op * kinds_ + kind] = graph.seconds[kind * operators() + op];
  }
  for (std::size_t i = 0; i < graph.latency_seconds.size(); ++i)
    channels_.push_back({graph.latency_seconds[i], graph.bytes_per_second[i]});
  number_tensors(graph);
  number_reads();
  fresh_.reserve(graph.consumers.size());
  vacated_.reserve(channels_.size());
  awake_.reserve(devices());
}

/// Lays out tensors by producer, in the graph's order, and with each tensor its reads.
void StepSimulator::number_tensors(const StepGraph& graph) {
  std::vector<std::uint32_t> next = begins(graph.producer, operators());
  for (std::size_t op = 0; op <= operators(); ++op) operators_[op].first_tensor = next[op];
  std::vector<std::uint32_t> number(graph.tensors());
  for (std::uint32_t t = 0; t < graph.tensors(); ++t)
    number[next[static_cast<std::size_t>(graph.producer[t])]++] = t;
  for (const std::uint32_t t : number) {
    tensors_.push_back({graph.size_bytes[t], timed_copies_ ? graph.copy_seconds[t] : 0.0,
                        static_cast<std::uint32_t>(reads_.size()), t});
    operators_[static_cast<std::size_t>(graph.producer[t])].made_bytes += graph.size_bytes[t];
    for (auto i = graph.start[t]; i < graph.start[t + 1]; ++i) {
      const std::int32_t consumer = graph.consumers[static_cast<std::size_t>(i)];
      reads_.push_back({static_cast<std::uint32_t>(consumer), 0});
    }
  }
  tensors_.push_back({0, 0.0, static_cast<std::uint32_t>(reads_.size()), kNone});
}

/// Gives each read its place among the reads of its consumer.
void StepSimulator::number_reads() {
  std::vector<std::uint32_t> next(operators() + 1);
  for (const Read& read : reads_) ++next[read.consumer + 1];
  std::partial_sum(next.begin(), next.end(), next.begin());
  for (std::size_t op = 0; op <= operators(); ++op) operators_[op].first_slot = next[op];
  for (Read& read : reads_) read.slot = next[read.consumer]++;
}

/// Nothing has run yet; operators are on their devices and have their ranks there.
void StepSimulator::place(std::span<const std::int32_t> device,
                          std::span<const std::uint32_t> order) {
  std::fill(counts_.begin(), counts_.end(), 0u);
  for (const std::int32_t one : device) ++counts_[static_cast<std::size_t>(one)];
  ready_.lay_out(counts_);
  std::exclusive_scan(counts_.begin(), counts_.end(), first_rank_.begin(), 0u);
  running_.clear();
  copy_count_ = 0;
  for (Channel& channel : channels_) channel.first = channel.last = kNone;
  std::fill(level_.begin(), level_.end(), 0);
  std::fill(busy_.begin(), busy_.end(), 0.0);
  std::fill(current_.begin(), current_.end(), kNone);
  std::fill(counts_.begin(), counts_.end(), 0u);
  for (const std::uint32_t op : order) {
    const auto to = static_cast<std::uint32_t>(device[op]);
    const std::uint32_t rank = counts_[to]++;
    by_rank_[first_rank_[to] + rank] = op;
    const Operator &one = operators_[op], &after = operators_[op + 1];
    const std::uint32_t missing = after.first_slot - one.first_slot;
    placed_[op] = {seconds_[op * kinds_ + kind_[to]], to, rank, missing};
    if (missing == 0) ready_.insert(to, rank);
    level_[to] += one.resident_bytes;
  }
  peak_ = level_;
  fresh_.clear();
  vacated_.clear();
  awake_.resize(devices());
  std::iota(awake_.begin(), awake_.end(), 0u);
  std::fill(is_awake_.begin(), is_awake_.end(), std::uint8_t{1});
}

/// One more of the tensors that an operator reads is on its device.
void StepSimulator::arrive(std::uint32_t op) {
  Placed& placed = placed_[op];
  if (--placed.missing > 0) return;
  ready_.insert(placed.device, placed.rank);
  if (is_awake_[placed.device] || current_[placed.device] != kNone) return;
  is_awake_[placed.device] = 1;
  awake_.push_back(placed.device);
}

template <bool kMemory>
void StepSimulator::release(std::uint32_t holder, std::size_t device) {
  if constexpr (kMemory) {
    if (--holders_[holder].users == 0) level_[device] -= holders_[holder].bytes;
  }
}

/// The copy of the tensor that is being handed out to that device; made if there is none yet.
std::uint32_t StepSimulator::copy_to(std::uint32_t tensor, std::uint32_t from, std::uint32_t to) {
  if (open_[to] != kNone) return open_[to];
  const auto index = static_cast<std::uint32_t>(copy_count_++);
  copies_[index] = {tensor, from, to, route_[from * devices() + to], kNone, kNone};
  fresh_.push_back({std::uint64_t{tensors_[tensor].number} << 32 | to, index});
  open_[to] = index;
  return index;
}

/// A tensor was made: its readers there have it, and others are given a copy.
template <bool kMemory>
void StepSimulator::hand_out(std::uint32_t tensor, std::uint32_t device) {
  const std::uint32_t homes = static_cast<std::uint32_t>(tensors_.size()) - 1;
  const std::size_t known = fresh_.size();
  std::uint32_t users = 0;
  for (std::uint32_t r = tensors_[tensor].first_read; r < tensors_[tensor + 1].first_read; ++r) {
    const Read read = reads_[r];
    const std::uint32_t to = placed_[read.consumer].device;
    std::uint32_t holder = tensor;
    if (to == device) {
      ++users;
      arrive(read.consumer);
    } else {
      const std::uint32_t copy = copy_to(tensor, device, to);
      next_read_[r] = copies_[copy].first_read;
      copies_[copy].first_read = r;
      holder = homes + copy;
    }
    if constexpr (kMemory) used_[read.slot] = holder;
  }
  for (std::size_t i = known; i < fresh_.size(); ++i) open_[copies_[fresh_[i].copy].to] = kNone;
  if constexpr (kMemory) {
    users += static_cast<std::uint32_t>(fresh_.size() - known);
    holders_[tensor] = {tensors_[tensor].bytes, users};
    if (users == 0) level_[device] -= tensors_[tensor].bytes;
  }
}

template <bool kMemory>
void StepSimulator::end_operator(std::uint32_t device) {
  const std::uint32_t op = current_[device];
  current_[device] = kNone;
  if (!is_awake_[device]) {
    is_awake_[device] = 1;
    awake_.push_back(device);
  }
  const Operator &one = operators_[op], &after = operators_[op + 1];
  for (std::uint32_t t = one.first_tensor; t < after.first_tensor; ++t)
    hand_out<kMemory>(t, device);
  if constexpr (kMemory) {
    for (std::uint32_t s = one.first_slot; s < after.first_slot; ++s)
      release<kMemory>(used_[s], device);
  }
}

template <bool kMemory>
void StepSimulator::end_copy(std::uint32_t index) {
  const Copy& copy = copies_[index];
  for (std::uint32_t r = copy.first_read; r != kNone; r = next_read_[r]) arrive(reads_[r].consumer);
  release<kMemory>(copy.tensor, copy.from);
  if (contention_) vacated_.push_back(copy.channel);
}

template <bool kMemory, bool kLog>
void StepSimulator::start_copy(std::uint32_t index, double now) {
  const Copy& copy = copies_[index];
  const Tensor& tensor = tensors_[copy.tensor];
  const Channel& channel = channels_[copy.channel];
  const double duration =
      timed_copies_
          ? tensor.copy_seconds
          : channel.latency_seconds + static_cast<double>(tensor.bytes) / channel.bytes_per_second;
  running_.push(now + duration, static_cast<std::uint32_t>(devices()) + index);
  if constexpr (kMemory) {
    std::uint32_t users = 0;
    for (std::uint32_t r = copy.first_read; r != kNone; r = next_read_[r]) ++users;
    holders_[tensors_.size() - 1 + index] = {tensor.bytes, users};
    take_bytes(copy.to, tensor.bytes);
  }
  if constexpr (kLog) {
    copy_start_[index] = now;
    copy_end_[index] = now + duration;
  }
}

template <bool kMemory, bool kLog>
void StepSimulator::start_copies(double now) {
  for (const std::uint32_t number : vacated_) {
    Channel& channel = channels_[number];
    channel.first = copies_[channel.first].next;
    if (channel.first != kNone) start_copy<kMemory, kLog>(channel.first, now);
  }
  vacated_.clear();
  if (fresh_.size() > 1) std::sort(fresh_.begin(), fresh_.end());
  for (const Fresh& fresh : fresh_) {
    Channel& channel = channels_[copies_[fresh.copy].channel];
    if (!contention_ || channel.first == kNone) {
      channel.first = contention_ ? fresh.copy : kNone;
      start_copy<kMemory, kLog>(fresh.copy, now);
    } else {
      copies_[channel.last].next = fresh.copy;
    }
    channel.last = fresh.copy;
  }
  fresh_.clear();
}

template <bool kMemory, bool kLog>
void StepSimulator::start_operators(double now) {
  for (const std::uint32_t device : awake_) {
    is_awake_[device] = 0;
    if (current_[device] != kNone || ready_.empty(device)) continue;
    const std::uint32_t op = by_rank_[first_rank_[device] + ready_.take(device)];
    const double duration = placed_[op].seconds;
    current_[device] = op;
    running_.push(now + duration, device);
    busy_[device] += duration;
    if constexpr (kMemory) take_bytes(device, operators_[op].made_bytes);
    if constexpr (kLog) {
      starts_[op] = now;
      ends_[op] = now + duration;
    }
  }
  awake_.clear();
}

template <bool kMemory, bool kLog>
double StepSimulator::run(std::span<const std::int32_t> device,
                          std::span<const std::int32_t> priority) {
  place(device, order_.of(priority));
  const auto devices = static_cast<std::uint32_t>(kind_.size());
  double now = 0.0, end = 0.0;
  std::size_t ended = 0;
  start_operators<kMemory, kLog>(now);
  while (!running_.empty()) {
    now = running_.top().time;
    do {
      const std::uint32_t id = running_.top().id;
      running_.pop();
      if (id < devices) {
        end_operator<kMemory>(id);
        end = now;
        ++ended;
      } else {
        end_copy<kMemory>(id - devices);
      }
    } while (!running_.empty() && running_.top().time == now);
    start_copies<kMemory, kLog>(now);
    start_operators<kMemory, kLog>(now);
  }
  return ended == operators() ? end : std::numeric_limits<double>::infinity();
}

template double StepSimulator::run<false, false>(std::span<const std::int32_t>,
                                                 std::span<const std::int32_t>);
template double StepSimulator::run<true, false>(std::span<const std::int32_t>,
                                                std::span<const std::int32_t>);
template double StepSimulator::run<true, true>(std::span<const std::int32_t>,
                                               std::span<const std::int32_t>);

}  // namespace acumen::placement

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

/// Says that a line will be needed; the address may lie behind an array's end.
inline void fetch(const void* address) {
#if defined(__GNUC__)
  __builtin_prefetch(address);
#else
  static_cast<void>(address);
#endif
}

}  // namespace

StepSimulator::StepSimulator(const StepGraph& graph, bool contention)
    : contention_(contention),
      kinds_(graph.kinds()),
      operators_(graph.operators() + 1),
      seconds_(graph.seconds.size()),
      resident_bytes_(graph.resident_bytes.begin(), graph.resident_bytes.end()),
      read_count_(graph.operators()),
      kind_(graph.kind.begin(), graph.kind.end()),
      route_(graph.route.begin(), graph.route.end()),
      order_(graph.operators()),
      device_(graph.operators()),
      rank_(graph.operators()),
      missing_(graph.operators()),
      told_(graph.operators()),
      turns_(graph.operators()),
      counts_(graph.devices()),
      first_rank_(graph.devices()),
      ready_(graph.devices(), graph.operators()),
      running_(graph.devices() + std::max(graph.operators(), graph.consumers.size())),
      current_(graph.devices()),
      is_awake_(graph.devices()),
      readers_at_(graph.devices()),
      there_(graph.devices()),
      copy_at_(graph.devices()),
      copies_(graph.consumers.size()),
      readers_(graph.consumers.size()),
      users_(graph.tensors() + graph.consumers.size()),
      used_(graph.consumers.size()),
      level_(graph.devices()),
      peak_(graph.devices()),
      busy_(graph.devices()) {
  for (std::size_t op = 0; op < operators(); ++op) {
    for (std::size_t kind = 0; kind < kinds_; ++kind)
      seconds_[op * kinds_ + kind] = graph.seconds[kind * operators() + op];
  }
  for (std::size_t i = 0; i < graph.latency_seconds.size(); ++i)
    channels_.push_back({graph.latency_seconds[i], graph.bytes_per_second[i]});
  number_tensors(graph);
  number_reads();
}

/// Lays out tensors by producer, in the graph's order, and with each tensor its reads.
void StepSimulator::number_tensors(const StepGraph& graph) {
  const std::vector<std::uint32_t> first = begins(graph.producer, operators());
  std::vector<std::uint32_t> number(graph.tensors()), next = first;
  for (std::uint32_t t = 0; t < graph.tensors(); ++t)
    number[next[static_cast<std::size_t>(graph.producer[t])]++] = t;
  for (const std::uint32_t t : number) {
    tensors_.push_back({graph.size_bytes[t], static_cast<std::uint32_t>(reads_.size()), t});
    if (!graph.copy_seconds.empty()) copy_seconds_.push_back(graph.copy_seconds[t]);
    operators_[static_cast<std::size_t>(graph.producer[t])].made_bytes += graph.size_bytes[t];
    for (auto i = graph.start[t]; i < graph.start[t + 1]; ++i) {
      const std::int32_t consumer = graph.consumers[static_cast<std::size_t>(i)];
      reads_.push_back({static_cast<std::uint32_t>(consumer), 0});
    }
  }
  tensors_.push_back({0, static_cast<std::uint32_t>(reads_.size()), kNone});
  for (std::size_t op = 0; op <= operators(); ++op) {
    operators_[op].first_tensor = first[op];
    operators_[op].first_read = tensors_[first[op]].first_read;
  }
}

/// Gives each read its place among the reads of its consumer.
void StepSimulator::number_reads() {
  std::vector<std::uint32_t> next(operators() + 1);
  for (const Read& read : reads_) ++next[read.consumer + 1];
  std::partial_sum(next.begin(), next.end(), next.begin());
  for (std::size_t op = 0; op <= operators(); ++op) operators_[op].first_slot = next[op];
  for (Read& read : reads_) read.slot = next[read.consumer]++;
  std::uint32_t most = 0;
  for (std::size_t t = 0; t + 1 < tensors_.size(); ++t)
    most = std::max(most, tensors_[t + 1].first_read - tensors_[t].first_read);
  remotes_.resize(most);
  for (std::size_t op = 0; op < operators(); ++op)
    read_count_[op] = operators_[op + 1].first_slot - operators_[op].first_slot;
}

/// Nothing is left of the step before.
void StepSimulator::clear(std::span<const std::int32_t> device) {
  std::fill(counts_.begin(), counts_.end(), 0u);
  for (std::size_t op = 0; op < device.size(); ++op) {
    device_[op] = static_cast<std::uint16_t>(device[op]);
    ++counts_[device_[op]];
  }
  ready_.lay_out(counts_);
  std::exclusive_scan(counts_.begin(), counts_.end(), first_rank_.begin(), 0u);
  running_.clear();
  copy_count_ = reader_count_ = 0;
  for (Channel& channel : channels_) {
    channel.free = 0.0;
    channel.first = channel.last = kNone;
  }
  std::fill(level_.begin(), level_.end(), 0);
  std::fill(busy_.begin(), busy_.end(), 0.0);
  std::fill(current_.begin(), current_.end(), kNone);
  now_ = 0.0;
  raised_.clear();
  awake_.resize(devices());
  std::iota(awake_.begin(), awake_.end(), 0u);
  std::fill(is_awake_.begin(), is_awake_.end(), std::uint8_t{1});
}

/// Operators are on their devices, have their ranks there, and wait for all that they read.
template <bool kMemory>
void StepSimulator::place(std::span<const std::uint32_t> order) {
  std::fill(counts_.begin(), counts_.end(), 0u);
  missing_ = read_count_;
  if constexpr (!kMemory) std::fill(told_.begin(), told_.end(), 0.0);
  for (const std::uint32_t op : order) {
    const std::uint32_t to = device_[op], rank = counts_[to]++;
    turns_[first_rank_[to] + rank] = {seconds_[op * kinds_ + kind_[to]], op};
    rank_[op] = rank;
    if (read_count_[op] == 0) ready_.insert(to, rank);
    if constexpr (kMemory) level_[to] += resident_bytes_[op];
  }
  peak_ = level_;
}

/// A device may have something to start.
inline void StepSimulator::wake(std::uint32_t device) {
  if (is_awake_[device]) return;
  is_awake_[device] = 1;
  awake_.push_back(device);
}

/// An operator has all that it reads.
inline void StepSimulator::make_ready(std::uint32_t op) {
  const std::uint32_t device = device_[op], rank = rank_[op];
  fetch(&turns_[first_rank_[device] + rank]);
  ready_.insert(device, rank);
  if (current_[device] == kNone) wake(device);
}

/// One more of the tensors that an operator reads is on its device, or will be.
inline void StepSimulator::tell(std::uint32_t op, double when) {
  const double ready = told_[op] = std::max(told_[op], when);
  if (--missing_[op] > 0) return;
  fetch(&operators_[op]);
  if (ready <= now_)
    make_ready(op);
  else
    running_.push(ready, static_cast<std::uint32_t>(devices()) + op);
}

/// One more of the tensors that an operator reads is on its device.
inline void StepSimulator::arrive(std::uint32_t op) {
  if (--missing_[op] > 0) return;
  fetch(&operators_[op]);
  make_ready(op);
}

/// When a copy that becomes possible now ends.
inline double StepSimulator::copy_end(std::uint32_t tensor, std::uint32_t channel) {
  Channel& how = channels_[channel];
  const double duration =
      copy_seconds_.empty()
          ? how.latency_seconds + static_cast<double>(tensors_[tensor].bytes) / how.bytes_per_second
          : copy_seconds_[tensor];
  if (!contention_) return now_ + duration;
  return how.free = std::max(now_, how.free) + duration;
}

/// To which devices a tensor is to be copied, in their order; how many readers each has.
inline void StepSimulator::find_destinations(std::size_t remotes) {
  destinations_.clear();
  for (std::size_t i = 0; i < remotes; ++i)
    if (readers_at_[remotes_[i].device]++ == 0) destinations_.push_back(remotes_[i].device);
  if (destinations_.size() > 1) std::sort(destinations_.begin(), destinations_.end());
}

/// Tells readers on other devices when the tensor will be there.
inline void StepSimulator::tell_remotes(std::uint32_t tensor, std::uint32_t device,
                                        std::size_t remotes) {
  const std::uint16_t* channels = route_.data() + device * devices();
  if (remotes == 1)
    return tell(remotes_[0].consumer, copy_end(tensor, channels[remotes_[0].device]));
  find_destinations(remotes);
  for (const std::uint32_t to : destinations_) {
    there_[to] = copy_end(tensor, channels[to]);
    readers_at_[to] = 0;
  }
  for (std::size_t i = 0; i < remotes; ++i) tell(remotes_[i].consumer, there_[remotes_[i].device]);
}

/// A copy that is possible now: its times, and room for its readers.
template <bool kLog>
inline std::uint32_t StepSimulator::queue_copy(std::uint32_t tensor, std::uint32_t from,
                                               std::uint32_t to, std::uint32_t readers) {
  const std::uint16_t channel = route_[from * devices() + to];
  if constexpr (kLog)
    copy_start_[copy_count_] = contention_ ? std::max(now_, channels_[channel].free) : now_;
  const double end = copy_end(tensor, channel);
  if constexpr (kLog) copy_end_[copy_count_] = end;
  const auto index = static_cast<std::uint32_t>(copy_count_++);
  ++users_[tensor];
  copies_[index] = {end,
                    tensor,
                    kNone,
                    static_cast<std::uint32_t>(reader_count_),
                    0,
                    static_cast<std::uint16_t>(from),
                    static_cast<std::uint16_t>(to),
                    channel};
  reader_count_ += readers;
  users_[tensors_.size() - 1 + index] = readers;
  return index;
}

inline void StepSimulator::add_reader(std::uint32_t index, const Remote& remote) {
  Copy& copy = copies_[index];
  readers_[copy.first_reader + copy.readers++] = remote.consumer;
  used_[remote.slot] = static_cast<std::uint32_t>(tensors_.size()) - 1 + index;
}

/// A copy starts now. Should it end now, too, its channel's next one starts, and so on.
void StepSimulator::move_copies(std::uint32_t index) {
  while (index != kNone) {
    const Copy& copy = copies_[index];
    take_bytes(copy.to, tensors_[copy.tensor].bytes);
    if (copy.end > now_) {
      running_.push(copy.end, static_cast<std::uint32_t>(devices()) + index);
      fetch(&missing_[readers_[copy.first_reader]]);
      if (copy.next != kNone) fetch(&copies_[copy.next]);
      return;
    }
    index = end_copy(index);
  }
}

/// A copy ends: its readers have the tensor. Returns what its channel carries next.
inline std::uint32_t StepSimulator::end_copy(std::uint32_t index) {
  const Copy& copy = copies_[index];
  const std::uint32_t* reader = readers_.data() + copy.first_reader;
  for (std::uint32_t i = 0; i < copy.readers; ++i) arrive(reader[i]);
  release(copy.tensor, copy.from);
  if (contention_) channels_[copy.channel].first = copy.next;
  return copy.next;
}

/// A copy whose readers are known queues at its channel.
inline void StepSimulator::send(std::uint32_t index) {
  if (!contention_) return move_copies(index);
  Channel& channel = channels_[copies_[index].channel];
  const bool is_free = channel.first == kNone;
  (is_free ? channel.first : copies_[channel.last].next) = index;
  channel.last = index;
  if (is_free) move_copies(index);
}

/// Copies the tensor to its readers on other devices.
template <bool kLog>
void StepSimulator::copy_to_remotes(std::uint32_t tensor, std::uint32_t device,
                                    std::size_t remotes) {
  if (remotes == 1) {
    const std::uint32_t index = queue_copy<kLog>(tensor, device, remotes_[0].device, 1);
    add_reader(index, remotes_[0]);
    return send(index);
  }
  const auto first = static_cast<std::uint32_t>(copy_count_);
  find_destinations(remotes);
  for (const std::uint32_t to : destinations_) {
    copy_at_[to] = queue_copy<kLog>(tensor, device, to, readers_at_[to]);
    readers_at_[to] = 0;
  }
  for (std::size_t i = 0; i < remotes; ++i) add_reader(copy_at_[remotes_[i].device], remotes_[i]);
  const auto end = static_cast<std::uint32_t>(copy_count_);
  for (std::uint32_t index = first; index < end; ++index) send(index);
}

/// A tensor was made: its readers on its device have it, and others are given a copy.
template <bool kMemory, bool kLog>
inline void StepSimulator::hand_out(std::uint32_t tensor, std::uint32_t device) {
  const std::uint32_t first = tensors_[tensor].first_read, end = tensors_[tensor + 1].first_read;
  std::size_t remotes = 0;
  for (std::uint32_t r = first; r < end; ++r) {
    const Read read = reads_[r];
    const std::uint32_t to = device_[read.consumer];
    if (to != device) {
      remotes_[remotes++] = {read.consumer, read.slot, to};
      continue;
    }
    if constexpr (kMemory) {
      arrive(read.consumer);
      used_[read.slot] = tensor;
    } else {
      tell(read.consumer, now_);
    }
  }
  if constexpr (kMemory) {
    // The producer holds it until all copies are under way.
    users_[tensor] = 1 + end - first - static_cast<std::uint32_t>(remotes);
    if (remotes > 0) copy_to_remotes<kLog>(tensor, device, remotes);
    release(tensor, device);
  } else if (remotes > 0) {
    tell_remotes(tensor, device, remotes);
  }
}

/// All operators of this round end; tensors are handed out in the graph's order.
template <bool kMemory, bool kLog>
void StepSimulator::end_operators() {
  for (const std::uint32_t device : ended_) {
    const Operator& one = operators_[current_[device]];
    const Operator& after = operators_[current_[device] + 1];
    current_[device] = kNone;
    wake(device);
    if constexpr (kMemory) {
      for (std::uint32_t s = one.first_slot; s < after.first_slot; ++s) fetch(&users_[used_[s]]);
    }
    for (std::uint32_t t = one.first_tensor; t < after.first_tensor; ++t) {
      if (ended_.size() == 1)
        hand_out<kMemory, kLog>(t, device);
      else
        made_.push_back({tensors_[t].number, t, device});
    }
    if constexpr (kMemory) {
      for (std::uint32_t s = one.first_slot; s < after.first_slot; ++s) release(used_[s], device);
    }
  }
  ended_.clear();
  if (made_.empty()) return;
  std::sort(made_.begin(), made_.end());
  for (const Made& made : made_) hand_out<kMemory, kLog>(made.tensor, made.device);
  made_.clear();
}

template <bool kMemory, bool kLog>
void StepSimulator::start_operators() {
  for (const std::uint32_t device : awake_) {
    is_awake_[device] = 0;
    if (current_[device] != kNone || ready_.empty(device)) continue;
    const Turn turn = turns_[first_rank_[device] + ready_.take(device)];
    const Operator& one = operators_[turn.op];
    current_[device] = turn.op;
    running_.push(now_ + turn.seconds, device);
    busy_[device] += turn.seconds;
    fetch(&tensors_[one.first_tensor]);
    fetch(reads_.data() + one.first_read);
    if constexpr (kMemory) {
      fetch(used_.data() + one.first_slot);
      take_bytes(device, one.made_bytes);
    }
    if constexpr (kLog) {
      starts_[turn.op] = now_;
      ends_[turn.op] = now_ + turn.seconds;
    }
  }
  awake_.clear();
}

template <bool kMemory, bool kLog>
double StepSimulator::run(std::span<const std::int32_t> device,
                          std::span<const std::int32_t> priority) {
  clear(device);
  place<kMemory>(order_.of(priority));
  const auto devices = static_cast<std::uint32_t>(kind_.size());
  double end = 0.0;
  std::size_t ended = 0;
  while (true) {
    if (!awake_.empty()) start_operators<kMemory, kLog>();
    for (const std::uint32_t raised : raised_)
      peak_[raised] = std::max(peak_[raised], level_[raised]);
    raised_.clear();
    if (running_.empty()) break;
    now_ = running_.top().time;
    do {
      const std::uint32_t id = running_.top().id;
      running_.pop();
      if (id < devices) {
        ended_.push_back(id);
        ++ended;
        end = now_;
      } else if constexpr (kMemory) {
        move_copies(end_copy(id - devices));
      } else {
        make_ready(id - devices);
      }
    } while (!running_.empty() && running_.top().time == now_);
    if (!ended_.empty()) end_operators<kMemory, kLog>();
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

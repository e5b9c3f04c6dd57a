#include "records.hpp"

#include <algorithm>
#include <limits>
#include <mutex>
#include <utility>
#include <vector>

#include "state_arrays.hpp"

namespace acumen::bindings {
namespace {

constexpr std::uint64_t kAtOnce = 32;  ///< less than a microsecond

struct Columns {
  std::vector<std::int64_t> number;
  std::vector<std::uint64_t> id, version;
  std::vector<std::int32_t> arm;
  std::vector<float> propensity;
  std::vector<std::uint8_t> reason, state;
  std::vector<double> rows, values;

  void reserve(std::size_t n, std::size_t fields, std::size_t metrics) {
    number.reserve(n), id.reserve(n), version.reserve(n), arm.reserve(n), propensity.reserve(n);
    reason.reserve(n), state.reserve(n), rows.reserve(n * fields), values.reserve(n * metrics);
  }

  void clear() {
    number.clear(), id.clear(), version.clear(), arm.clear(), propensity.clear();
    reason.clear(), state.clear(), rows.clear(), values.clear();
  }

  void append(const Columns& more) {
    const auto add = [](auto& all, const auto& part) {
      all.insert(all.end(), part.begin(), part.end());
    };
    add(number, more.number), add(id, more.id), add(version, more.version), add(arm, more.arm);
    add(propensity, more.propensity), add(reason, more.reason), add(state, more.state);
    add(rows, more.rows), add(values, more.values);
  }

  void add(DecisionRing& ring, std::size_t slot, std::size_t fields, std::size_t metrics) {
    const Entry& entry = ring.entry(slot);
    id.push_back(entry.id);
    version.push_back(entry.version);
    arm.push_back(static_cast<std::int32_t>(entry.arm));
    propensity.push_back(entry.propensity);
    reason.push_back(entry.reason);
    state.push_back(static_cast<std::uint8_t>(entry.state));
    rows.insert(rows.end(), ring.row(slot), ring.row(slot) + fields);
    // Until its feedback comes, a slot holds the metrics of the decision that it had before.
    if (entry.state == EntryState::kDone) {
      values.insert(values.end(), ring.values(slot), ring.values(slot) + metrics);
    } else {
      values.insert(values.end(), metrics, std::numeric_limits<double>::quiet_NaN());
    }
  }
};

/// Sequence number of the oldest entry that the ring still has.
std::uint64_t first_of(DecisionRing& ring) {
  const DecisionRing::Cursors& c = ring.cursors();
  return std::max(c.begin, c.next > ring.capacity() ? c.next - ring.capacity() : 1);
}

/// For who does not hold the GIL.
Columns read(ChoiceEngine& engine, std::int64_t after, std::size_t fields, std::size_t metrics) {
  DecisionRing& ring = engine.ring();
  std::uint64_t at, end;
  {
    const std::lock_guard<SpinLock> lock(engine.lock());
    end = ring.cursors().next;
    at = after < ring.own(end) ? std::max(first_of(ring), ring.behind(after)) : end;
  }
  // Under the lock they are copied to memory that is warm; new memory is touched outside.
  Columns columns, few;
  columns.reserve(end > at ? end - at : 0, fields, metrics);
  few.reserve(kAtOnce, fields, metrics);
  for (; at < end; columns.append(few), few.clear()) {
    const std::lock_guard<SpinLock> lock(engine.lock());
    // Meanwhile the ring may have come round, or have begun anew.
    at = std::max(at, first_of(ring));
    const std::uint64_t stop = std::min({at + kAtOnce, end, ring.cursors().next});
    if (stop <= at) break;
    for (; at < stop; ++at) {
      const std::size_t slot = static_cast<std::size_t>(at & (ring.capacity() - 1));
      if (ring.entry(slot).state == EntryState::kEmpty) continue;
      few.number.push_back(ring.own(at));
      few.add(ring, slot, fields, metrics);
    }
  }
  return columns;
}

}  // namespace

nb::dict records(ChoiceCore& core, std::int64_t after) {
  Columns columns;
  {
    const nb::gil_scoped_release others_may_run;
    columns = read(*core.engine, after, core.fields(), core.metrics.size());
  }
  nb::dict result;
  result["number"] = column(std::move(columns.number));
  result["id"] = column(std::move(columns.id));
  result["model_version"] = column(std::move(columns.version));
  result["arm"] = column(std::move(columns.arm));
  result["propensity"] = column(std::move(columns.propensity));
  result["reason"] = column(std::move(columns.reason));
  result["state"] = column(std::move(columns.state));
  result["context"] = column(std::move(columns.rows));
  result["metrics"] = column(std::move(columns.values));
  return result;
}

}  // namespace acumen::bindings

// A choice's journal on its way to the disk: ring, hook and columns, as Python's writer has them.
#pragma once

#include <nanobind/nanobind.h>

#include <cstdint>
#include <memory>
#include <string_view>
#include <vector>

#include "acumen/choice.hpp"
#include "acumen/journal_columns.hpp"

namespace acumen::bindings {

class ChoiceCore;

/// Nanoseconds since 1970, on the system's clock.
std::uint64_t wall_clock_ns();

struct JournalBuffer {
  JournalBuffer(const std::vector<Field>& fields, std::uint32_t metrics, std::uint32_t features,
                std::uint32_t replica, std::size_t bytes, WhenFull when_full)
      : replica(replica),
        ring(std::make_shared<JournalRing>(bytes, when_full)),
        hook(fields, metrics, features, ring, wall_clock_ns),
        columns(static_cast<std::uint32_t>(fields.size()), features, metrics, replica) {}

  std::uint32_t replica;
  std::shared_ptr<JournalRing> ring;
  JournalHook hook;        ///< the engine's end
  JournalColumns columns;  ///< the writer's end: one thread at a time
};

/// The engine's lock, for who may have to wait and holds the GIL: waiting gives the GIL up.
class EngineTurn {
 public:
  explicit EngineTurn(ChoiceEngine& engine) : lock_(engine.lock()) {
    while (!lock_.try_lock(100)) {
      const nanobind::gil_scoped_release others_may_run;
      // Not kept: a thread that has the GIL may be waiting for it.
      lock_.lock();
      lock_.unlock();
    }
  }
  ~EngineTurn() { release(); }
  EngineTurn(const EngineTurn&) = delete;
  EngineTurn& operator=(const EngineTurn&) = delete;

  /// Before the end of the block.
  void release() {
    if (held_) lock_.unlock();
    held_ = false;
  }

 private:
  SpinLock& lock_;
  bool held_ = true;
};

/// Which names stand behind the codes of categories, as far as the journal has been told.
///
/// The first name of a code is told, and the second, so that a reader sees that the code is shared;
/// no more, so that names without end do not fill the journal.
class CategoryNames {
 public:
  CategoryNames() = default;
  explicit CategoryNames(const Schema& schema) {
    for (std::uint32_t i = 0; i < schema.fields(); ++i) {
      offsets_.push_back(known_.size());
      known_.resize(known_.size() + schema.field(i).buckets);
    }
  }

  /// Under the GIL. The usual case, a name met before, is one load and one comparison.
  void meet(ChoiceEngine& engine, std::uint32_t field, std::uint32_t code, std::uint64_t hash,
            std::string_view name) {
    std::uint64_t& known = known_[offsets_[field] + code];
    if (known != hash && known != kShared) tell(engine, field, code, hash, name, known);
  }

 private:
  static constexpr std::uint64_t kShared = 1;
  static constexpr std::size_t kNameMax = 256;

  static void tell(ChoiceEngine& engine, std::uint32_t field, std::uint32_t code,
                   std::uint64_t hash, std::string_view name, std::uint64_t& known) {
    if (!engine.lock().try_lock(0)) return;  // it will be met again
    const std::lock_guard<SpinLock> unlock(engine.lock(), std::adopt_lock);
    if (!engine.journal()) return;
    std::size_t size = std::min(name.size(), kNameMax);
    // Not in the middle of a character.
    while (size < name.size() && size > 0 && (name[size] & 0xc0) == 0x80) size -= 1;
    engine.journal()->text(EventKind::kName, name.substr(0, size), field, code);
    known = known ? kShared : hash;
  }

  std::vector<std::size_t> offsets_;
  std::vector<std::uint64_t> known_;
};

void bind_journal(nanobind::module_& m, nanobind::class_<ChoiceCore>& core);

}  // namespace acumen::bindings

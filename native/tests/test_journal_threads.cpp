// One thread pushes events, another takes them out, as fast as they can: nothing is torn, nothing
// comes twice, nothing is lost that was not counted, and (under ThreadSanitizer) there is no race.
#include <atomic>
#include <cstdio>
#include <cstring>
#include <thread>
#include <vector>

#include "acumen/choice.hpp"
#include "acumen/journal_columns.hpp"
#include "acumen/journal_hook.hpp"
#include "acumen/random.hpp"
#include "expect.hpp"
#include "fixed_learner.hpp"
#include "program.hpp"

namespace test_journal_threads {

using namespace acumen;

namespace {

/// Every word of an event says its number, so that a torn one would show.
void ring_under_pressure(WhenFull when_full, std::uint64_t events) {
  JournalRing ring(1 << 13, when_full);
  std::atomic<bool> done{false};
  std::thread producer([&] {
    Random random(7);
    for (std::uint64_t i = 0; i < events; ++i) {
      const std::uint32_t words = EventHeader::kWords + random.below(40);
      const std::uint64_t number = ring.begin(words);
      if (number == 0) continue;
      ring.put(EventHeader{EventKind::kNote, 0, false, words}.pack());
      for (std::uint32_t k = 1; k < words; ++k) ring.put(number);
      ring.commit();
    }
    done = true;
  });
  std::uint64_t taken = 0, last = 0;
  std::vector<std::uint64_t> out;
  for (bool finished = false; !finished;) {
    finished = done;
    out.clear();
    const JournalRing::Seen seen = ring.collect(out, 500);
    finished = finished && seen.all;
    for (std::size_t i = 0; i < out.size();) {
      const EventHeader header = EventHeader::unpack(out[i]);
      EXPECT(header.words >= EventHeader::kWords && i + header.words <= out.size());
      EXPECT(out[i + 1] > last);
      last = out[i + 1];
      for (std::uint32_t k = 1; k < header.words; ++k) EXPECT(out[i + k] == last);
      i += header.words;
      taken += 1;
    }
  }
  producer.join();
  EXPECT(taken + ring.dropped() == events && ring.sequence() == events);
  std::printf("%s: %llu of %llu events taken\n",
              when_full == WhenFull::kDropOldest ? "drop oldest" : "drop newest",
              static_cast<unsigned long long>(taken), static_cast<unsigned long long>(events));
}

std::uint64_t no_clock() {
  return 0;
}

/// Threads that choose, and one that writes: the numbers in the batches have no holes.
void a_choice_with_a_writer() {
  FixedLearner learner({0.5f, 0.5f});
  ChoiceOptions options;
  options.shape.arms = 2;
  options.fields.resize(2);
  options.metrics.push_back({1.0, false});
  ChoiceEngine engine(options, &learner);
  const auto ring = std::make_shared<JournalRing>(1 << 15, WhenFull::kDropOldest);
  JournalHook hook(options.fields, 1, 0, ring, no_clock);
  {
    const std::lock_guard<SpinLock> lock(engine.lock());
    engine.journal() = &hook;
  }
  std::atomic<int> choosing{2};
  std::vector<std::thread> threads;
  for (int t = 0; t < 2; ++t) {
    threads.emplace_back([&] {
      for (int i = 0; i < 20'000; ++i) {
        double row[] = {1.0 * (i % 7), 1.0 * (i % 5)};
        Question question;
        question.row = row;
        const double reward = 1.0;
        engine.feedback(engine.decide(question).id, &reward);
      }
      choosing -= 1;
    });
  }
  JournalColumns columns(2, 0, 1, 1);
  std::uint64_t last = 0, gaps = 0;
  for (bool finished = false; !finished;) {
    finished = choosing == 0;
    const JournalBatch batch = columns.take(*ring, 4000, 0);
    finished = finished && batch.all;
    if (batch.rows == 0) continue;
    EXPECT(batch.first == last + 1 && batch.last >= batch.first);
    last = batch.last;
    for (std::uint64_t i = 0; i < batch.rows; ++i) {
      if (batch.memory[batch.columns[JournalColumns::kKind].data + i] != 12) continue;
      std::uint64_t lost;
      const unsigned char* numbers =
          batch.memory.data() + batch.columns[JournalColumns::kNumber].data;
      std::memcpy(&lost, numbers + 8 * i, 8);
      gaps += lost;
    }
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT(last == ring->sequence() && gaps == ring->dropped());
  std::printf("a choice: %llu events, %llu of them dropped\n",
              static_cast<unsigned long long>(last), static_cast<unsigned long long>(gaps));
}

}  // namespace

PROGRAM(test_journal_threads) {
  ring_under_pressure(WhenFull::kDropNewest, 300'000);
  ring_under_pressure(WhenFull::kDropOldest, 300'000);
  a_choice_with_a_writer();
}

}  // namespace test_journal_threads

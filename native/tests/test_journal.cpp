// The journal's ring and columns: order, room, gaps, checksums; replay next to what was.
#include <cstdio>
#include <cstring>
#include <numeric>
#include <string>

#include "acumen/journal_columns.hpp"
#include "acumen/journal_hook.hpp"
#include "expect.hpp"
#include "fixed_learner.hpp"
#include "program.hpp"
#include "replayed.hpp"

namespace test_journal {

using namespace acumen;

namespace {

/// An event that consists of its header and `extra` words.
bool push(JournalRing& ring, std::uint32_t extra = 0) {
  const std::uint32_t words = EventHeader::kWords + extra;
  const std::uint64_t number = ring.begin(words);
  if (number == 0) return false;
  ring.put(EventHeader{EventKind::kFeedback, 0, false, words}.pack());
  ring.put(number);
  ring.put(0), ring.put(7);
  for (std::uint32_t i = 0; i < extra; ++i) ring.put(number);
  ring.commit();
  return true;
}

std::vector<std::uint64_t> numbers(const std::vector<std::uint64_t>& words) {
  std::vector<std::uint64_t> result;
  for (std::size_t i = 0; i < words.size(); i += EventHeader::unpack(words[i]).words)
    result.push_back(words[i + 1]);
  return result;
}

/// Events of many sizes go round many times and come out as they went in.
void events_come_out_in_order() {
  JournalRing ring(1 << 12, WhenFull::kDropNewest);
  Random random(1);
  std::vector<std::uint64_t> out;
  std::uint64_t next = 1;
  for (int round = 0; round < 3000; ++round) {
    // Never so far behind that the ring is full.
    const bool late = random.below(3) == 0 && ring.waiting_words() < 200;
    for (std::uint32_t i = random.below(9); i > 0; --i) EXPECT(push(ring, random.below(20)));
    if (late) continue;
    out.clear();
    ring.collect(out, 100 + random.below(300));
    for (std::size_t i = 0; i < out.size();) {
      const EventHeader header = EventHeader::unpack(out[i]);
      EXPECT(out[i + 1] == next++);
      for (std::uint32_t k = EventHeader::kWords; k < header.words; ++k)
        EXPECT(out[i + k] == out[i + 1]);
      i += header.words;
    }
  }
  EXPECT(ring.dropped() == 0 && next > 1000);
}

void the_newest_gives_way() {
  JournalRing ring(0, WhenFull::kDropNewest);
  int kept = 0;
  while (push(ring)) kept += 1;
  EXPECT(kept == 512 / EventHeader::kWords && ring.dropped() == 1);
  EXPECT(!push(ring, 1000) && ring.dropped() == 2);  // would never fit
  std::vector<std::uint64_t> out;
  const JournalRing::Seen seen = ring.collect(out, 1 << 20);
  EXPECT(seen.all && seen.sequence == static_cast<std::uint64_t>(kept) + 2);
  EXPECT(numbers(out).size() == static_cast<std::size_t>(kept) && numbers(out).back() == 128);
  EXPECT(push(ring));
}

void the_oldest_give_way() {
  JournalRing ring(0, WhenFull::kDropOldest);
  for (int i = 0; i < 1000; ++i) EXPECT(push(ring));
  EXPECT(ring.dropped() == 1000 - 128);
  std::vector<std::uint64_t> out;
  ring.collect(out, 1 << 20);
  EXPECT(numbers(out).front() == 1000 - 127 && numbers(out).back() == 1000);
  EXPECT(!push(ring, 1000) && ring.dropped() == 1000 - 127);  // would never fit
}

template <typename T>
T value_at(const JournalBatch& batch, std::size_t column, std::size_t row) {
  T value;
  std::memcpy(&value, batch.memory.data() + batch.columns[column].data + row * sizeof(T),
              sizeof(T));
  return value;
}

bool there_at(const JournalBatch& batch, std::size_t column, std::size_t row) {
  return (batch.memory[batch.columns[column].valid + row / 8] >> row % 8 & 1) != 0;
}

/// What was dropped becomes rows of its own: before the next event, or at the end.
void gaps_are_rows() {
  JournalRing ring(0, WhenFull::kDropNewest);
  JournalColumns columns(0, 0, 0, 5);
  while (push(ring)) {
  }
  EXPECT(!push(ring));
  JournalBatch batch = columns.take(ring, 1 << 20, 9000);
  EXPECT(batch.rows == 129 && batch.first == 1 && batch.last == 130 && batch.all);
  EXPECT(value_at<std::int8_t>(batch, JournalColumns::kKind, 128) == 12);
  EXPECT(value_at<std::uint64_t>(batch, JournalColumns::kSequence, 128) == 130);
  EXPECT(value_at<std::int64_t>(batch, JournalColumns::kNumber, 128) == 2);
  EXPECT(value_at<std::int64_t>(batch, JournalColumns::kTime, 128) == 9);
  EXPECT(columns.take(ring, 1 << 20, 0).rows == 0);

  JournalRing oldest(0, WhenFull::kDropOldest);
  JournalColumns others(0, 0, 0, 5);
  for (int i = 0; i < 200; ++i) push(oldest);
  batch = others.take(oldest, 1 << 20, 0);
  EXPECT(batch.rows == 129 && batch.first == 1 && batch.last == 200);
  EXPECT(value_at<std::uint64_t>(batch, JournalColumns::kSequence, 0) == 72);
  EXPECT(value_at<std::int64_t>(batch, JournalColumns::kNumber, 0) == 72);
}

/// Small batches cover all events, each once.
void batches_have_bounds() {
  JournalRing ring(1 << 16, WhenFull::kDropNewest);
  JournalColumns columns(0, 0, 3, 5);
  for (int i = 0; i < 500; ++i) push(ring, 3);
  std::uint64_t rows = 0, last = 0;
  for (JournalBatch batch = columns.take(ring, 64, 0); batch.rows > 0;
       batch = columns.take(ring, 64, 0)) {
    EXPECT(batch.first == last + 1 && batch.rows <= 11);
    rows += batch.rows;
    last = batch.last;
  }
  EXPECT(rows == 500 && last == 500);
}

std::uint32_t plain_crc(const std::string& bytes) {
  std::uint32_t crc = ~0u;
  for (const char c : bytes) {
    crc ^= static_cast<unsigned char>(c);
    for (int k = 0; k < 8; ++k) crc = crc >> 1 ^ (crc & 1 ? 0xedb88320u : 0u);
  }
  return ~crc;
}

void checksums_are_crc32() {
  std::string bytes(100, '\0');
  std::iota(bytes.begin(), bytes.end(), 'a');
  for (std::size_t size = 0; size < bytes.size(); ++size) {
    Crc32 crc;
    crc.add(bytes.data(), size / 3);
    crc.add(bytes.data() + size / 3, size - size / 3);
    EXPECT(crc.value() == plain_crc(bytes.substr(0, size)));
  }
  Crc32 known;
  known.add("123456789", 9);
  EXPECT(known.value() == 0xcbf43926u);
  const unsigned char ten[] = {0xab, 0xff}, cut[] = {0xab, 0x03};
  Crc32 bits, whole;
  bits.add_bits(ten, 10);
  whole.add(cut, 2);
  EXPECT(bits.value() == whole.value());
}

ChoiceOptions described() {
  ChoiceOptions options;
  options.fields = {{}, {FieldKind::kCategory, true, 4}};
  options.metrics.resize(2);
  options.metrics[0].weight = 1.0;
  options.shape = {Schema(options.fields).dimension(), 2, 0};
  options.timeout_s = 10.0;
  options.replica = 5;
  return options;
}

/// The columns say what was decided.
void columns_say_what_happened() {
  FixedLearner learner({0.25f, 0.75f});
  const ChoiceOptions options = described();
  ChoiceEngine engine(options, &learner);
  const auto ring = std::make_shared<JournalRing>(1 << 16, WhenFull::kDropNewest);
  JournalHook hook(options.fields, 2, 0, ring, stopped_clock);
  engine.journal() = &hook;
  double row[] = {2.5, 3.0};
  Question question;
  question.row = row;
  question.default_arm = 1;
  question.episode = 77, question.step = 3;
  const Answer answer = engine.decide(question);
  const double values[] = {4.0, std::nan("")};
  engine.feedback(answer.id, values);
  question.now_s = 100.0;
  row[1] = std::nan("");
  engine.decide(question);
  question.now_s = 200.0;
  engine.decide(question);
  engine.set_objective(options.metrics, "another");
  JournalColumns columns(2, 0, 2, 5);
  const JournalBatch batch = columns.take(*ring, 1 << 20, 0);
  using J = JournalColumns;
  // seen, decision, feedback, decision, timeout, decision, objective
  const std::vector<int> kinds = {4, 0, 1, 0, 2, 0, 6};
  EXPECT(batch.rows == kinds.size());
  for (std::size_t i = 0; i < kinds.size(); ++i) {
    EXPECT(value_at<std::int8_t>(batch, J::kKind, i) == kinds[i]);
    EXPECT(value_at<std::uint64_t>(batch, J::kSequence, i) == i + 1);
    EXPECT(value_at<std::uint32_t>(batch, J::kReplica, i) == 5);
    EXPECT(there_at(batch, J::kArm, i) == (kinds[i] == 0));
    EXPECT(there_at(batch, J::kFate, i) == (kinds[i] == 1));
    EXPECT(there_at(batch, J::kText, i) == (kinds[i] == 6));
  }
  EXPECT(value_at<std::int32_t>(batch, J::kField, 0) == 1);
  EXPECT(value_at<std::int64_t>(batch, J::kNumber, 0) == 3);
  EXPECT(value_at<std::uint64_t>(batch, J::kId, 1) == answer.id);
  EXPECT(value_at<std::uint32_t>(batch, J::kArm, 1) == answer.arm);
  EXPECT(value_at<std::uint32_t>(batch, J::kSuggested, 1) == answer.suggested);
  EXPECT(value_at<std::uint32_t>(batch, J::kDefaultArm, 1) == 1);
  EXPECT(value_at<float>(batch, J::kPropensity, 1) == answer.propensity);
  EXPECT(value_at<std::uint64_t>(batch, J::kEpisode, 1) == 77);
  EXPECT(value_at<std::uint32_t>(batch, J::kStep, 1) == 3);
  EXPECT(value_at<double>(batch, J::kFixed, 1) == 2.5);
  EXPECT(value_at<double>(batch, J::kFixed + 1, 1) == 4.0);  // never seen before
  EXPECT(!there_at(batch, J::kFixed + 1, 3));
  EXPECT(value_at<double>(batch, J::kFixed + 2, 2) == 4.0 && !there_at(batch, J::kFixed + 3, 2));
  EXPECT(
      std::string(reinterpret_cast<const char*>(batch.memory.data()) + batch.columns[J::kText].text,
                  batch.columns[J::kText].text_bytes) == "another");
}

/// Decisions that a gap has swallowed leave the others where they were.
void a_replay_with_a_gap() {
  FixedLearner learner({0.5f, 0.5f}), twin_learner({0.5f, 0.5f});
  ChoiceOptions options = described();
  options.pending_max = 512;
  ChoiceEngine engine(options, &learner), twin(options, &twin_learner);
  const auto ring = std::make_shared<JournalRing>(1 << 22, WhenFull::kDropNewest);
  JournalHook hook(options.fields, 2, 0, ring, stopped_clock);
  engine.journal() = &hook;
  std::vector<std::uint64_t> kept;
  for (int i = 0; i < 3000; ++i) {
    double row[] = {1.0 * (i % 7), std::nan("")};
    Question question;
    question.row = row;
    const Answer answer = engine.decide(question);
    const bool gap = (i > 100 && i < 150) || (i > 1000 && i < 2000);
    std::vector<std::uint64_t> events;
    ring->collect(events, 1 << 20);
    if (!gap) kept.insert(kept.end(), events.begin(), events.end());
    if (i % 3 == 0) continue;
    const double values[] = {1.0, 0.0};
    engine.feedback(answer.id, values);
    if (gap) ring->collect(events, 1 << 20);  // and away
  }
  ring->collect(kept, 1 << 20);
  replay_words(kept, twin, [](const std::string&) {});
  const double values[] = {1.0, 0.0};
  std::uint64_t newest = 0;
  engine.ring().each([&](std::size_t slot) { newest = engine.ring().entry(slot).id; });
  const std::size_t slot = twin.ring().find(newest);
  EXPECT(slot != twin.ring().capacity() && twin.ring().entry(slot).arm < 2);
  EXPECT(twin.feedback(newest, values) != FeedbackResult::kUnknown);
}

}  // namespace

PROGRAM(test_journal) {
  events_come_out_in_order();
  the_newest_gives_way();
  the_oldest_give_way();
  gaps_are_rows();
  batches_have_bounds();
  checksums_are_crc32();
  columns_say_what_happened();
  a_replay_with_a_gap();
}

}  // namespace test_journal

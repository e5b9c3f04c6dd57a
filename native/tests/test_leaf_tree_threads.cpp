// One thread writes a LeafTree while others read versions of it, copy them and drop them: every
// version stays what it was, and (under ThreadSanitizer, which is how `make test` builds this
// program too) there is no data race.
#include <atomic>
#include <mutex>
#include <thread>
#include <vector>

#include "acumen/index/leaf_tree.hpp"
#include "acumen/random.hpp"
#include "expect.hpp"
#include "program.hpp"

namespace test_leaf_tree_threads {

using namespace acumen;
using namespace acumen::index;

namespace {

constexpr std::int64_t kKeys = 8'000;

/// The value of a key is the number of the version that put it; all keys of one parity are from
/// one version, so that half a write would be seen.
class Stage {
 public:
  Stage() {
    std::vector<std::int64_t> keys;
    std::vector<std::uint64_t> values(kKeys, 0);
    for (std::int64_t key = 0; key < kKeys; ++key) keys.push_back(key);
    tree_.append({keys.data(), values.data(), keys.size()});
    publish();
  }

  void run(int rounds) {
    std::vector<std::thread> readers;
    for (std::uint64_t seed = 0; seed < 3; ++seed) readers.emplace_back([=, this] { read(seed); });
    for (int round = 1; round <= rounds || reads_ < 30; ++round) {
      write(static_cast<std::uint64_t>(round));
      publish();
    }
    done_ = true;
    for (std::thread& reader : readers) reader.join();
    EXPECT(tree_.version().validate());
  }

 private:
  void publish() {
    Version next = tree_.version();
    const std::lock_guard<std::mutex> guard(mutex_);
    published_ = std::move(next);
  }

  Version newest() {
    const std::lock_guard<std::mutex> guard(mutex_);
    return published_;
  }

  /// In place, by merging, by removing and appending: in turns.
  void write(std::uint64_t round) {
    std::vector<std::int64_t> keys;
    for (std::int64_t key = round % 2; key < kKeys; key += 2) keys.push_back(key);
    const std::vector<std::uint64_t> values(keys.size(), round);
    if (round % 3 == 0) {
      tree_.replace(tree_.version().with({keys.data(), values.data(), keys.size()}));
      return;
    }
    if (round % 3 == 1) tree_.replace(tree_.version().without(keys.data(), keys.size()));
    for (const std::int64_t key : keys) {
      if (round % 3 == 2) EXPECT(tree_.erase(key));
      EXPECT(tree_.set(key, round));
    }
  }

  void read(std::uint64_t seed) {
    Random random(seed);
    std::vector<Version> kept;
    std::vector<std::uint64_t> values(kKeys);
    while (!done_) {
      kept.push_back(newest());
      const Version& version = kept[random.below(static_cast<std::uint32_t>(kept.size()))];
      EXPECT(version.size() == kKeys);
      version.read(0, kKeys, nullptr, values.data());
      for (std::size_t key = 2; key < kKeys; ++key) EXPECT(values[key] == values[key - 2]);
      std::uint64_t value = 0;
      const std::uint32_t key = random.below(kKeys);
      EXPECT(version.find(key, value) && value == values[key]);
      EXPECT(version.rank(key, true) == key + 1);
      if (kept.size() > 4) kept.erase(kept.begin() + random.below(4));
      reads_ += 1;
    }
  }

  LeafTree tree_{nullptr};
  std::mutex mutex_;
  Version published_;
  std::atomic<bool> done_{false};
  std::atomic<int> reads_{0};
};

}  // namespace

PROGRAM(test_leaf_tree_threads) {
  Stage().run(9);
}

}  // namespace test_leaf_tree_threads

// A batch that threads share.
#pragma once

#include <algorithm>
#include <cstddef>
#include <exception>
#include <system_error>
#include <thread>
#include <vector>

namespace acumen::bindings {

/// Rows that are worth a thread.
inline constexpr std::size_t kShareLeast = std::size_t{1} << 14;
/// Shares begin at multiples of so many rows: no two threads write into one cache line.
inline constexpr std::size_t kShareStep = 1024;

/// Calls work(begin, end) for all of [0, count): this thread and up to threads - 1 others, which
/// do not run Python. What a share throws is thrown here when all have ended, the first of it.
template <class Work>
void in_shares(std::size_t count, std::size_t threads, const Work& work) {
  const std::size_t shares =
      std::clamp<std::size_t>(count / kShareLeast, 1, std::max<std::size_t>(threads, 1));
  if (shares == 1) return work(0, count);
  const std::size_t steps = (count + kShareStep - 1) / kShareStep;
  const auto bound = [&](std::size_t k) {
    return std::min(count, steps * k / shares * kShareStep);
  };
  std::vector<std::exception_ptr> failed(shares);
  const auto share = [&](std::size_t k, std::size_t end) noexcept {
    try {
      work(bound(k), end);
    } catch (...) {
      failed[k] = std::current_exception();
    }
  };
  std::vector<std::jthread> others;
  others.reserve(shares - 1);
  try {
    for (std::size_t k = 1; k < shares; ++k) others.emplace_back(share, k, bound(k + 1));
  } catch (const std::system_error&) {  // no more threads: this one does what is left
    share(others.size() + 1, count);
  }
  share(0, bound(1));
  for (std::jthread& other : others) other.join();
  for (const std::exception_ptr& failure : failed)
    if (failure) std::rethrow_exception(failure);
}

}  // namespace acumen::bindings

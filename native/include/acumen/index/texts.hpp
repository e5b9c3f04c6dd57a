// Ranks among sorted texts: strings or bytes of any length, compared byte by byte.
//
// Idea       All texts begin with what the first and the last have in common. What follows, read as
//            a big-endian number of eight bytes, ascends like the texts do; of every kStride-th
//            text these numbers are keys for the structures of range.hpp, which so narrow a query
//            down to some kStride texts (more where many begin alike), and bisection does the rest.
// Guarantee  Exact; a text is a prefix's successor, as in memcmp and then by length.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string_view>

namespace acumen::index {

class TextColumn {
 public:
  static constexpr std::size_t kStride = 16;

  /// Texts between offsets, count + 1 of them; or, without offsets, `width` bytes each, of which
  /// trailing NULs do not count if they are padding.
  TextColumn(const char* data, std::size_t bytes, const std::int64_t* offsets, std::size_t count,
             std::size_t width, bool padded)
      : data_(data),
        bytes_(static_cast<std::int64_t>(bytes)),
        offsets_(offsets),
        count_(count),
        width_(width),
        padded_(padded) {}

  std::size_t size() const { return count_; }

  std::string_view operator[](std::size_t i) const {
    if (offsets_ != nullptr) {
      // Whoever owns them may have changed them since valid(): wrong then, but nothing worse.
      const std::int64_t begin = std::clamp<std::int64_t>(offsets_[i], 0, bytes_);
      const std::int64_t end = std::clamp<std::int64_t>(offsets_[i + 1], begin, bytes_);
      return {data_ + begin, static_cast<std::size_t>(end - begin)};
    }
    std::size_t length = width_;
    const char* text = data_ + i * width_;
    while (padded_ && length > 0 && text[length - 1] == '\0') --length;
    return {text, length};
  }

  /// Whether offsets ascend within the buffer.
  bool valid() const {
    if (offsets_ == nullptr)
      return width_ == 0 ? count_ == 0 : count_ <= static_cast<std::size_t>(bytes_) / width_;
    if (offsets_[0] < 0 || offsets_[count_] > bytes_) return false;
    bool ascend = true;
    for (std::size_t i = 0; i < count_; ++i) ascend &= offsets_[i] <= offsets_[i + 1];
    return ascend;
  }

  /// Bytes that all texts begin with; sorted ones.
  std::size_t common() const {
    if (count_ == 0) return 0;
    const std::string_view first = (*this)[0], last = (*this)[count_ - 1];
    const std::size_t most = std::min(first.size(), last.size());
    std::size_t same = 0;
    while (same < most && first[same] == last[same]) ++same;
    return same;
  }

 private:
  const char* data_;
  std::int64_t bytes_;
  const std::int64_t* offsets_;
  std::size_t count_, width_;
  bool padded_;
};

/// The eight bytes of a text from `skip` on, as a number; zeros beyond its end.
inline std::uint64_t text_number(std::string_view text, std::size_t skip) {
  unsigned char bytes[8] = {};
  if (text.size() > skip)
    std::memcpy(bytes, text.data() + skip, std::min<std::size_t>(8, text.size() - skip));
  std::uint64_t number = 0;
  for (const unsigned char byte : bytes) number = number << 8 | byte;
  return number;
}

/// A query's number among texts that all begin with `common`; what lies beyond all of them becomes
/// the smallest or largest number, which leaves its rank to bisection.
inline std::uint64_t query_number(std::string_view query, std::string_view common) {
  const int side = query.substr(0, common.size()).compare(common);
  if (side != 0) return side < 0 ? 0 : ~std::uint64_t{0};
  return text_number(query, common.size());
}

/// The texts below a query (right: up to it) between `low` and `high`, which its rank lies in.
inline std::size_t text_rank(const TextColumn& texts, std::string_view query, bool right,
                             std::size_t low, std::size_t high) {
  while (low < high) {
    const std::size_t middle = low + (high - low) / 2;
    const int side = texts[middle].compare(query);
    if (right ? side <= 0 : side < 0)
      low = middle + 1;
    else
      high = middle;
  }
  return low;
}

}  // namespace acumen::index

// Runs a fuzz target without libFuzzer: seeded random inputs of many lengths for
// ACUMEN_FUZZ_SECONDS (3 by default), and every file named on the command line.
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <vector>

#include "acumen/random.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);

int main(int argc, char** argv) {
  for (int i = 1; i < argc; ++i) {
    std::ifstream file(argv[i], std::ios::binary);
    const std::vector<char> bytes((std::istreambuf_iterator<char>(file)), {});
    LLVMFuzzerTestOneInput(reinterpret_cast<const std::uint8_t*>(bytes.data()), bytes.size());
  }
  const char* limit = std::getenv("ACUMEN_FUZZ_SECONDS");
  const double seconds = limit ? std::atof(limit) : 3.0;
  const auto start = std::chrono::steady_clock::now();
  acumen::Random random(20'260'101);
  std::uint64_t runs = 0;
  std::vector<std::uint8_t> input;
  while (std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count() <
         seconds) {
    input.resize(random.below(1u << (2 + random.below(12))));
    // Half of the inputs use few distinct bytes, so that operations collide and repeat.
    const std::uint32_t alphabet = random.below(2) ? 256 : 1 + random.below(16);
    for (auto& byte : input) byte = static_cast<std::uint8_t>(random.below(alphabet));
    LLVMFuzzerTestOneInput(input.data(), input.size());
    ++runs;
  }
  std::printf("%llu inputs\n", static_cast<unsigned long long>(runs));
  return runs > 0 ? 0 : 1;
}

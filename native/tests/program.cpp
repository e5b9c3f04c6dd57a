// Runs one of the programs in this binary; a fuzz target on seeded random inputs of many lengths
// for ACUMEN_FUZZ_SECONDS (3 by default), and on every file named on the command line.
#include "program.hpp"

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iterator>
#include <vector>

#include "acumen/random.hpp"

namespace {

int fuzz(Program::Fuzz* target, int files, char** file_names) {
  for (int i = 0; i < files; ++i) {
    std::ifstream file(file_names[i], std::ios::binary);
    const std::vector<char> bytes((std::istreambuf_iterator<char>(file)), {});
    target(reinterpret_cast<const std::uint8_t*>(bytes.data()), bytes.size());
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
    target(input.data(), input.size());
    ++runs;
  }
  std::printf("%llu inputs\n", static_cast<unsigned long long>(runs));
  return runs > 0 ? 0 : 1;
}

}  // namespace

int main(int argc, char** argv) {
  for (const Program* program = Program::first(); program != nullptr; program = program->next) {
    if (argc < 2 || std::strcmp(program->name, argv[1]) != 0) continue;
    if (program->fuzz != nullptr) return fuzz(program->fuzz, argc - 2, argv + 2);
    program->test();
    return 0;
  }
  std::fprintf(stderr, "usage: %s PROGRAM, one of:\n", argv[0]);
  for (const Program* program = Program::first(); program != nullptr; program = program->next)
    std::fprintf(stderr, "  %s\n", program->name);
  return 2;
}

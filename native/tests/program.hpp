// Programs that share a binary, as what they have in common is then compiled once. Its first
// argument names the one to run: `engine_tests test_choice`.
#pragma once

#include <cstddef>
#include <cstdint>

/// What a binary holds; made by the macros below, before main() looks through it.
struct Program {
  using Test = void();
  using Fuzz = int(const std::uint8_t*, std::size_t);

  Program(const char* named, Test* run) : name(named), test(run) { list(); }
  Program(const char* named, Fuzz* run) : name(named), fuzz(run) { list(); }

  static Program*& first() {
    static Program* first = nullptr;
    return first;
  }

  const char* name;
  Test* test = nullptr;
  Fuzz* fuzz = nullptr;
  Program* next = nullptr;

 private:
  void list() {
    next = first();
    first() = this;
  }
};

#define PROGRAM(name)                        \
  static void run_program();                 \
  static Program listed(#name, run_program); \
  static void run_program()

/// What lies in `data` is arbitrary. libFuzzer wants a binary for every target.
#ifdef ACUMEN_LIBFUZZER
#define FUZZ_TARGET(name, data, size) \
  extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size)
#else
#define FUZZ_TARGET(name, data, size)                                 \
  static int run_program(const std::uint8_t* data, std::size_t size); \
  static Program listed(#name, run_program);                          \
  static int run_program(const std::uint8_t* data, std::size_t size)
#endif

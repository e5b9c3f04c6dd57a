// Binds pages.hpp: tables that are filled and kept by Python have the same pages as native ones.
#include "pages.hpp"

#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>

#include <cstdint>
#include <memory>

#include "bindings.hpp"

namespace acumen::bindings {
namespace {

namespace nb = nanobind;
using Bytes = nb::ndarray<nb::numpy, std::uint8_t, nb::ndim<1>>;

Bytes aligned_zeros(std::size_t nbytes) {
  auto pages = std::make_unique<Pages>();
  {
    const nb::gil_scoped_release others_may_run;
    *pages = Pages(nbytes);
  }
  const nb::capsule owner(pages.get(), [](void* p) noexcept { delete static_cast<Pages*>(p); });
  return Bytes(pages.release()->as<std::uint8_t>(), {nbytes}, owner);
}

}  // namespace

void bind_pages(nb::module_& m) {
  m.def("aligned_zeros", &aligned_zeros, nb::arg("nbytes"),
        "So many zero bytes, on a 64-byte boundary; in huge pages if they fill one.");
}

}  // namespace acumen::bindings

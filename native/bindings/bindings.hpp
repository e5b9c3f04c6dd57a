// One function a binding file; module.cpp calls them all.
#pragma once

#include <nanobind/nanobind.h>

namespace acumen::bindings {

void bind_learners(nanobind::module_& m);
void bind_choice(nanobind::module_& m);
void bind_draft(nanobind::module_& m);
void bind_evaluation(nanobind::module_& m);
void bind_comparison(nanobind::module_& m);
void bind_index_point(nanobind::module_& m);
void bind_caching(nanobind::module_& m);
void bind_cache(nanobind::module_& m);
void bind_floors(nanobind::module_& m);
void bind_cached(nanobind::module_& m);
void bind_range_index(nanobind::module_& m);
void bind_index_scalar(nanobind::module_& m);
void bind_index_texts(nanobind::module_& m);
void bind_index_reads(nanobind::module_& m);
void bind_pages(nanobind::module_& m);
void bind_index_membership(nanobind::module_& m);
void bind_index_mutable(nanobind::module_& m);
void bind_index_mutable_scalar(nanobind::module_& m);
void bind_placement(nanobind::module_& m);
void bind_placement_schedule(nanobind::module_& m);
void bind_placement_loads(nanobind::module_& m);

}  // namespace acumen::bindings

#include "bindings.hpp"

NB_MODULE(_native, m) {
  m.doc() = "Acumen's native core. Private: use the names that `acumen` exports.";
  acumen::bindings::bind_learners(m);
  acumen::bindings::bind_choice(m);
  acumen::bindings::bind_draft(m);
  acumen::bindings::bind_evaluation(m);
  acumen::bindings::bind_comparison(m);
  acumen::bindings::bind_index_point(m);
  acumen::bindings::bind_caching(m);
  acumen::bindings::bind_cache(m);
  acumen::bindings::bind_floors(m);
  acumen::bindings::bind_cached(m);
  acumen::bindings::bind_range_index(m);
  acumen::bindings::bind_index_scalar(m);
  acumen::bindings::bind_index_texts(m);
  acumen::bindings::bind_index_reads(m);
  acumen::bindings::bind_pages(m);
  acumen::bindings::bind_index_membership(m);
  acumen::bindings::bind_index_mutable(m);
  acumen::bindings::bind_index_mutable_scalar(m);
  acumen::bindings::bind_placement(m);
  acumen::bindings::bind_placement_schedule(m);
  acumen::bindings::bind_placement_loads(m);
}

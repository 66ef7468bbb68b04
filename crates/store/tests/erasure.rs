//! Both stores keep the port of erasure and of legal holds.

stead_testkit::stores_pass!(erasure_cases, ERASURE, the_shared_store_passes_the_suite_of_erasure);

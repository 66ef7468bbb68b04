//! Both stores keep the port of notices.

stead_testkit::stores_pass!(notices_cases, NOTICES, the_shared_store_passes_the_suite_of_notices);

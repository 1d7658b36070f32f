"""What operators look at in OpenSearch Dashboards: the saved objects themselves, and the way into an installation."""

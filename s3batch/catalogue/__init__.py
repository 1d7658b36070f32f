"""Which archive holds a member: manifests in S3, SQLite on the host, OpenSearch for a fleet."""

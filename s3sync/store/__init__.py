"""Objects in S3: what a store promises, the one on boto3, and the proof of what it holds."""

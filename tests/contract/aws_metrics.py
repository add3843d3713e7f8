"""Which metrics there are to show: those that the functions print, and those that AWS publishes of what it runs."""

from hongyan.metrics import DIMENSION, NAMESPACE, Metric

# By namespace: the names, as far as somebody may want to see them, and the sets of dimensions that they come with.
# From the guides: API Gateway, "dimensions and metrics" and "Monitor WebSocket API execution"; Lambda, "Types of
# metrics for Lambda functions"; SQS, "Available CloudWatch metrics"; SNS, "Monitoring topics using CloudWatch"; Aurora,
# "CloudWatch metrics for Amazon Aurora"; ElastiCache, "Metrics for Valkey and Redis OSS"; OpenSearch Service,
# "Monitoring OpenSearch cluster metrics".
PUBLISHED: dict[str, tuple[set[str], list[set[str]]]] = {
    NAMESPACE: ({metric.value for metric in Metric}, [{DIMENSION}]),
    "AWS/RDS": (
        {"ACUUtilization", "ServerlessDatabaseCapacity", "DatabaseConnections", "Deadlocks"},
        [{"DBClusterIdentifier"}],
    ),
    "AWS/ElastiCache": (
        {"DatabaseMemoryUsagePercentage", "EngineCPUUtilization", "Evictions"},
        [{"CacheClusterId"}],
    ),
    "AWS/ES": (
        {"ClusterStatus.red", "FreeStorageSpace", "JVMMemoryPressure"},
        [{"DomainName", "ClientId"}],
    ),
    "AWS/ApiGateway": (
        {
            *("Count", "4XXError", "5XXError", "Latency", "IntegrationLatency"),
            *("ConnectCount", "MessageCount", "IntegrationError", "ClientError", "ExecutionError"),
        },
        [{"ApiName"}, {"ApiName", "Stage"}, {"ApiId"}, {"ApiId", "Stage"}],
    ),
    "AWS/Lambda": (
        {
            *("Invocations", "Errors", "Throttles", "Duration", "ConcurrentExecutions"),
            *("AsyncEventAge", "AsyncEventsDropped", "AsyncEventsReceived"),
        },
        [{"FunctionName"}, {"FunctionName", "Resource"}, {"FunctionName", "Resource", "ExecutedVersion"}],
    ),
    "AWS/SNS": (
        {"NumberOfMessagesPublished", "NumberOfNotificationsDelivered", "NumberOfNotificationsFailed"},
        [{"TopicName"}],
    ),
    "AWS/SQS": (
        {
            *("ApproximateAgeOfOldestMessage", "ApproximateNumberOfMessagesVisible"),
            *("ApproximateNumberOfMessagesNotVisible", "ApproximateNumberOfMessagesDelayed"),
            *("NumberOfMessagesSent", "NumberOfMessagesReceived", "NumberOfMessagesDeleted"),
        },
        [{"QueueName"}],
    ),
}

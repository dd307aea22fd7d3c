package match.lab.module;

import java.io.IOException;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Set;

import org.elasticsearch.action.ActionListener;
import org.elasticsearch.action.ActionRequestValidationException;
import org.elasticsearch.action.ActionResponse;
import org.elasticsearch.action.ActionType;
import org.elasticsearch.action.support.ActionFilters;
import org.elasticsearch.action.support.master.MasterNodeRequest;
import org.elasticsearch.action.support.master.TransportMasterNodeAction;
import org.elasticsearch.cluster.ClusterInfoService;
import org.elasticsearch.cluster.ClusterState;
import org.elasticsearch.cluster.block.ClusterBlockException;
import org.elasticsearch.cluster.metadata.ShutdownShardMigrationStatus;
import org.elasticsearch.cluster.metadata.SingleNodeShutdownMetadata;
import org.elasticsearch.cluster.metadata.SingleNodeShutdownMetadata.Status;
import org.elasticsearch.cluster.routing.RoutingNode;
import org.elasticsearch.cluster.routing.ShardRouting;
import org.elasticsearch.cluster.routing.ShardRoutingState;
import org.elasticsearch.cluster.routing.allocation.AllocationDecision;
import org.elasticsearch.cluster.routing.allocation.AllocationService;
import org.elasticsearch.cluster.routing.allocation.RoutingAllocation;
import org.elasticsearch.cluster.routing.allocation.ShardAllocationDecision;
import org.elasticsearch.cluster.service.ClusterService;
import org.elasticsearch.common.bytes.BytesReference;
import org.elasticsearch.common.io.stream.StreamInput;
import org.elasticsearch.common.io.stream.StreamOutput;
import org.elasticsearch.common.xcontent.ChunkedToXContent;
import org.elasticsearch.core.TimeValue;
import org.elasticsearch.injection.guice.Inject;
import org.elasticsearch.snapshots.SnapshotsInfoService;
import org.elasticsearch.tasks.Task;
import org.elasticsearch.threadpool.ThreadPool;
import org.elasticsearch.transport.TransportService;
import org.elasticsearch.xcontent.ToXContent;
import org.elasticsearch.xcontent.ToXContentObject;
import org.elasticsearch.xcontent.XContentBuilder;
import org.elasticsearch.xcontent.XContentFactory;
import org.elasticsearch.xcontent.XContentType;

/**
 * How far marked nodes are from where they may stop, in the official answer's shape. Persistent tasks and
 * plugins always read COMPLETE: nothing in this server has any.
 */
public final class ShutdownStatus {
    static final ActionType<Answer> GET = new ActionType<>("cluster:admin/shutdown/get");

    private ShutdownStatus() {}

    public static final class Request extends MasterNodeRequest<Request> {
        private final List<String> nodes;

        Request(TimeValue master, List<String> nodes) {
            super(master);
            this.nodes = nodes;
        }

        public Request(StreamInput in) throws IOException {
            super(in);
            nodes = in.readStringCollectionAsList();
        }

        @Override
        public void writeTo(StreamOutput out) throws IOException {
            super.writeTo(out);
            out.writeStringCollection(nodes);
        }

        @Override
        public ActionRequestValidationException validate() {
            return null;
        }
    }

    /** JSON as the master wrote it. */
    public static final class Answer extends ActionResponse implements ToXContentObject {
        private final BytesReference json;

        Answer(BytesReference json) {
            this.json = json;
        }

        Answer(StreamInput in) throws IOException {
            json = in.readBytesReference();
        }

        @Override
        public void writeTo(StreamOutput out) throws IOException {
            out.writeBytesReference(json);
        }

        @Override
        public XContentBuilder toXContent(XContentBuilder builder, Params params) throws IOException {
            return builder.rawValue(json.streamInput(), XContentType.JSON);
        }
    }

    /** The master answers: it alone knows the sizes and disks by which shards are placed. */
    public static final class Get extends TransportMasterNodeAction<Request, Answer> {
        private final AllocationService allocation;
        private final ClusterInfoService sizes;
        private final SnapshotsInfoService snapshots;

        @Inject
        public Get(
            TransportService transport, ClusterService cluster, ThreadPool threads, ActionFilters filters,
            AllocationService allocation, ClusterInfoService sizes, SnapshotsInfoService snapshots) {
            super(GET.name(), transport, cluster, threads, filters, Request::new, Answer::new, threads.executor(ThreadPool.Names.MANAGEMENT));
            this.allocation = allocation;
            this.sizes = sizes;
            this.snapshots = snapshots;
        }

        @Override
        protected ClusterBlockException checkBlock(Request request, ClusterState state) {
            return null;
        }

        @Override
        protected void masterOperation(Task task, Request request, ClusterState state, ActionListener<Answer> listener) throws Exception {
            try (XContentBuilder json = XContentFactory.jsonBuilder()) {
                json.startObject().startArray("nodes");
                for (SingleNodeShutdownMetadata mark : NodeShutdown.marks(state).getAll().values()) {
                    if (request.nodes.isEmpty() || request.nodes.contains(mark.getNodeId())) {
                        write(json, mark, shards(state, mark));
                    }
                }
                listener.onResponse(new Answer(BytesReference.bytes(json.endArray().endObject())));
            }
        }

        private ShutdownShardMigrationStatus shards(ClusterState state, SingleNodeShutdownMetadata mark) {
            if (mark.getType().isRemovalType() == false) {
                return still(Status.COMPLETE, 0, "no shard relocation is necessary for a node restart", null);
            }
            RoutingNode node = state.getRoutingNodes().node(mark.getNodeId());
            if (node == null) {
                return mark.getNodeSeen() ? still(Status.COMPLETE, 0, null, null)
                    : still(Status.NOT_STARTED, 0, "node is not currently part of the cluster", null);
            }
            long started = node.numberOfShardsWithState(ShardRoutingState.STARTED);
            long relocating = node.numberOfShardsWithState(ShardRoutingState.RELOCATING);
            long initializing = node.numberOfShardsWithState(ShardRoutingState.INITIALIZING);
            if (started + relocating + initializing == 0) return still(Status.COMPLETE, 0, null, null);
            if (relocating > 0 || started == 0) return still(Status.IN_PROGRESS, started + relocating + initializing, null, null);
            return whyStill(state, node, started + initializing);
        }

        /** Nothing moves although something should: because of a throttle, for ever, or because a copy elsewhere will do. */
        private ShutdownShardMigrationStatus whyStill(ClusterState state, RoutingNode node, long remaining) {
            RoutingAllocation now = new RoutingAllocation(
                allocation.getAllocationDeciders(), state, sizes.getClusterInfo(), snapshots.snapshotShardSizes(), System.nanoTime());
            now.setDebugMode(RoutingAllocation.DebugMode.EXCLUDE_YES_DECISIONS);
            Set<String> leaving = NodeShutdown.marks(state).getAllNodeIds();
            List<ShardRouting> spared = new ArrayList<>();
            for (ShardRouting shard : node.shardsWithState(ShardRoutingState.STARTED).toList()) {
                ShardAllocationDecision decision = allocation.explainShardAllocation(shard, now);
                AllocationDecision move = decision.getMoveDecision().getAllocationDecision();
                if (move == AllocationDecision.YES || move == AllocationDecision.THROTTLED) continue;
                if (copyStays(state, shard, leaving)) {
                    spared.add(shard);
                    continue;
                }
                String which = shard.primary() ? "primary" : "replica";
                return still(Status.STALLED, remaining, "shard [" + shard.shardId().id() + "] [" + which + "] of index ["
                    + shard.index().getName() + "] cannot move, use the Cluster Allocation Explain API on this shard for details", decision);
            }
            if (spared.size() == remaining) {
                return still(Status.COMPLETE, 0, "[" + spared.size()
                    + "] shards cannot be moved away from this node but have at least one copy on another node in the cluster", null);
            }
            return still(Status.IN_PROGRESS, remaining, null, null);
        }

        private static boolean copyStays(ClusterState state, ShardRouting shard, Set<String> leaving) {
            return state.routingTable().shardRoutingTable(shard.shardId()).allShards()
                .anyMatch(copy -> copy.started() && copy.currentNodeId().equals(shard.currentNodeId()) == false
                    && leaving.contains(copy.currentNodeId()) == false);
        }

        private static ShutdownShardMigrationStatus still(Status status, long remaining, String why, ShardAllocationDecision decision) {
            return new ShutdownShardMigrationStatus(status, remaining, why, decision);
        }
    }

    private static void write(XContentBuilder json, SingleNodeShutdownMetadata mark, ShutdownShardMigrationStatus shards) throws IOException {
        json.startObject();
        json.field("node_id", mark.getNodeId()).field("type", mark.getType()).field("reason", mark.getReason());
        if (mark.getType() == SingleNodeShutdownMetadata.Type.RESTART) {
            json.field("allocation_delay", mark.getAllocationDelay().getStringRep());
        }
        json.timestampFieldsFromUnixEpochMillis("shutdown_startedmillis", "shutdown_started", mark.getStartedAtMillis());
        json.field("status", shards.getStatus());
        json.field("shard_migration");
        ChunkedToXContent.wrapAsToXContent(shards).toXContent(json, ToXContent.EMPTY_PARAMS);
        for (String part : List.of("persistent_tasks", "plugins")) json.field(part, Map.of("status", Status.COMPLETE.name()));
        if (mark.getTargetNodeName() != null) json.field("target_node_name", mark.getTargetNodeName());
        if (mark.getGracePeriod() != null) json.field("grace_period", mark.getGracePeriod().getStringRep());
        json.endObject();
    }
}

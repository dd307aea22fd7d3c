package match.lab.module;

import java.io.IOException;
import java.util.List;
import java.util.Objects;

import org.elasticsearch.ResourceNotFoundException;
import org.elasticsearch.action.ActionListener;
import org.elasticsearch.action.ActionType;
import org.elasticsearch.action.support.ActionFilters;
import org.elasticsearch.action.support.master.AcknowledgedRequest;
import org.elasticsearch.action.support.master.AcknowledgedResponse;
import org.elasticsearch.action.support.master.AcknowledgedTransportMasterNodeAction;
import org.elasticsearch.cluster.AckedClusterStateUpdateTask;
import org.elasticsearch.cluster.ClusterState;
import org.elasticsearch.cluster.block.ClusterBlockException;
import org.elasticsearch.cluster.block.ClusterBlockLevel;
import org.elasticsearch.cluster.metadata.NodesShutdownMetadata;
import org.elasticsearch.cluster.metadata.SingleNodeShutdownMetadata;
import org.elasticsearch.cluster.routing.RerouteService;
import org.elasticsearch.cluster.service.ClusterService;
import org.elasticsearch.common.Priority;
import org.elasticsearch.common.io.stream.StreamInput;
import org.elasticsearch.common.io.stream.StreamOutput;
import org.elasticsearch.common.util.concurrent.EsExecutors;
import org.elasticsearch.core.TimeValue;
import org.elasticsearch.injection.guice.Inject;
import org.elasticsearch.plugins.ActionPlugin.ActionHandler;
import org.elasticsearch.tasks.Task;
import org.elasticsearch.threadpool.ThreadPool;
import org.elasticsearch.transport.TransportService;

/**
 * Marking a node for shutdown and taking the mark away. The server keeps such marks in the cluster's state and
 * its deciders move shards by them; only the module with the actions and their HTTP side is not published.
 */
public final class NodeShutdown {
    static final ActionType<AcknowledgedResponse> PUT = new ActionType<>("cluster:admin/shutdown/create");
    static final ActionType<AcknowledgedResponse> DELETE = new ActionType<>("cluster:admin/shutdown/delete");

    private NodeShutdown() {}

    static List<ActionHandler<?, ?>> handlers() {
        return List.of(
            new ActionHandler<>(PUT, Put.class),
            new ActionHandler<>(DELETE, Delete.class),
            new ActionHandler<>(ShutdownStatus.GET, ShutdownStatus.Get.class));
    }

    static NodesShutdownMetadata marks(ClusterState state) {
        return state.metadata().custom(NodesShutdownMetadata.TYPE, NodesShutdownMetadata.EMPTY);
    }

    /** What the caller wants a node to be marked with; null instead of the removal of a mark. */
    public record Wish(String type, String reason, TimeValue allocationDelay, String target, TimeValue grace) {
        Wish(StreamInput in) throws IOException {
            this(in.readString(), in.readString(), in.readOptionalTimeValue(), in.readOptionalString(), in.readOptionalTimeValue());
        }

        void writeTo(StreamOutput out) throws IOException {
            out.writeString(type);
            out.writeString(reason);
            out.writeOptionalTimeValue(allocationDelay);
            out.writeOptionalString(target);
            out.writeOptionalTimeValue(grace);
        }

        /** The mark, checked by the server's own rules of what goes with which type. */
        SingleNodeShutdownMetadata mark(String node, String ephemeral, boolean seen) {
            return SingleNodeShutdownMetadata.builder()
                .setNodeId(node).setNodeEphemeralId(ephemeral).setNodeSeen(seen)
                .setType(SingleNodeShutdownMetadata.Type.parse(type)).setReason(reason)
                .setAllocationDelay(allocationDelay).setTargetNodeName(target).setGracePeriod(grace)
                .setStartedAtMillis(System.currentTimeMillis())
                .build();
        }
    }

    public static final class Request extends AcknowledgedRequest<Request> {
        final String node;
        final Wish wish;

        Request(TimeValue master, TimeValue ack, String node, Wish wish) {
            super(master, ack);
            this.node = node;
            this.wish = wish;
        }

        public Request(StreamInput in) throws IOException {
            super(in);
            node = in.readString();
            wish = in.readBoolean() ? new Wish(in) : null;
        }

        @Override
        public void writeTo(StreamOutput out) throws IOException {
            super.writeTo(out);
            out.writeString(node);
            out.writeBoolean(wish != null);
            if (wish != null) wish.writeTo(out);
        }
    }

    /** A change of the marks, made by the master; it ends when all nodes know it and shards are being moved. */
    abstract static class Change extends AcknowledgedTransportMasterNodeAction<Request> {
        private final RerouteService reroute;

        Change(
            ActionType<AcknowledgedResponse> type, TransportService transport, ClusterService cluster, ThreadPool threads,
            ActionFilters filters, RerouteService reroute) {
            super(type.name(), transport, cluster, threads, filters, Request::new, EsExecutors.DIRECT_EXECUTOR_SERVICE);
            this.reroute = reroute;
        }

        abstract NodesShutdownMetadata change(Request request, ClusterState state);

        @Override
        protected void masterOperation(Task task, Request request, ClusterState state, ActionListener<AcknowledgedResponse> listener) {
            ActionListener<AcknowledgedResponse> moving = listener.delegateFailureAndWrap(
                (l, acknowledged) -> reroute.reroute("shutdown marks changed", Priority.URGENT, l.map(done -> acknowledged)));
            var update = new AckedClusterStateUpdateTask(Priority.URGENT, request, moving) {
                @Override
                public ClusterState execute(ClusterState current) {
                    NodesShutdownMetadata changed = change(request, current);
                    return current.copyAndUpdateMetadata(metadata -> metadata.putCustom(NodesShutdownMetadata.TYPE, changed));
                }
            };
            clusterService.submitUnbatchedStateUpdateTask(actionName + " of " + request.node, update);
        }

        @Override
        protected ClusterBlockException checkBlock(Request request, ClusterState state) {
            return state.blocks().globalBlockedException(ClusterBlockLevel.METADATA_WRITE);
        }
    }

    public static final class Put extends Change {
        @Inject
        public Put(TransportService transport, ClusterService cluster, ThreadPool threads, ActionFilters filters, RerouteService reroute) {
            super(PUT, transport, cluster, threads, filters, reroute);
        }

        @Override
        NodesShutdownMetadata change(Request request, ClusterState state) {
            var node = state.nodes().get(request.node);
            var old = marks(state).get(request.node);
            boolean seen = node != null || old != null && old.getNodeSeen();
            var mark = request.wish.mark(request.node, node == null ? null : node.getEphemeralId(), seen);
            return old != null && same(old, mark) ? marks(state) : marks(state).putSingleNodeMetadata(mark);
        }

        /** Asking again for what is already so does not start it again. */
        private static boolean same(SingleNodeShutdownMetadata old, SingleNodeShutdownMetadata mark) {
            return old.getType() == mark.getType() && old.getReason().equals(mark.getReason())
                && Objects.equals(old.getAllocationDelay(), mark.getAllocationDelay())
                && Objects.equals(old.getTargetNodeName(), mark.getTargetNodeName())
                && Objects.equals(old.getGracePeriod(), mark.getGracePeriod());
        }
    }

    public static final class Delete extends Change {
        @Inject
        public Delete(TransportService transport, ClusterService cluster, ThreadPool threads, ActionFilters filters, RerouteService reroute) {
            super(DELETE, transport, cluster, threads, filters, reroute);
        }

        @Override
        NodesShutdownMetadata change(Request request, ClusterState state) {
            if (marks(state).contains(request.node) == false) {
                throw new ResourceNotFoundException("node [" + request.node + "] is not currently shutting down");
            }
            return marks(state).removeSingleNodeMetadata(request.node);
        }
    }
}

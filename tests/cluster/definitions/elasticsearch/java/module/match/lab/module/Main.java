package match.lab.module;

import java.io.IOException;
import java.util.List;

import org.apache.lucene.util.Version;
import org.elasticsearch.Build;
import org.elasticsearch.action.ActionListener;
import org.elasticsearch.action.ActionRequest;
import org.elasticsearch.action.ActionRequestValidationException;
import org.elasticsearch.action.ActionResponse;
import org.elasticsearch.action.ActionType;
import org.elasticsearch.action.support.ActionFilters;
import org.elasticsearch.action.support.TransportAction;
import org.elasticsearch.client.internal.node.NodeClient;
import org.elasticsearch.cluster.ClusterState;
import org.elasticsearch.cluster.service.ClusterService;
import org.elasticsearch.common.io.stream.StreamOutput;
import org.elasticsearch.common.util.concurrent.EsExecutors;
import org.elasticsearch.injection.guice.Inject;
import org.elasticsearch.node.Node;
import org.elasticsearch.rest.BaseRestHandler;
import org.elasticsearch.rest.RestRequest;
import org.elasticsearch.rest.action.RestToXContentListener;
import org.elasticsearch.tasks.Task;
import org.elasticsearch.transport.TransportService;
import org.elasticsearch.xcontent.ToXContentObject;
import org.elasticsearch.xcontent.XContentBuilder;

/** GET and HEAD /: node, cluster and version, in the shape of the server's own answer. */
final class Main {
    static final ActionType<Answer> TYPE = new ActionType<>("cluster:monitor/main");

    private Main() {}

    public static final class Question extends ActionRequest {
        @Override
        public ActionRequestValidationException validate() {
            return null;
        }
    }

    public static final class Answer extends ActionResponse implements ToXContentObject {
        private final ClusterState state;
        private final String node;

        Answer(ClusterState state, String node) {
            this.state = state;
            this.node = node;
        }

        @Override
        public void writeTo(StreamOutput out) {
            TransportAction.localOnly();
        }

        @Override
        public XContentBuilder toXContent(XContentBuilder json, Params params) throws IOException {
            Build build = Build.current();
            json.startObject();
            json.field("name", node).field("cluster_name", state.getClusterName().value());
            json.field("cluster_uuid", state.metadata().clusterUUID());
            json.startObject("version").field("number", build.qualifiedVersion()).field("build_flavor", build.flavor());
            json.field("build_type", build.type().displayName()).field("build_hash", build.hash()).field("build_date", build.date());
            json.field("build_snapshot", build.isSnapshot()).field("lucene_version", Version.LATEST.toString());
            json.field("minimum_wire_compatibility_version", build.minWireCompatVersion());
            json.field("minimum_index_compatibility_version", build.minIndexCompatVersion()).endObject();
            return json.field("tagline", "You Know, for Search").endObject();
        }
    }

    public static final class Action extends TransportAction<Question, Answer> {
        private final ClusterService cluster;

        @Inject
        public Action(TransportService transport, ActionFilters filters, ClusterService cluster) {
            super(TYPE.name(), filters, transport.getTaskManager(), EsExecutors.DIRECT_EXECUTOR_SERVICE);
            this.cluster = cluster;
        }

        @Override
        protected void doExecute(Task task, Question question, ActionListener<Answer> listener) {
            listener.onResponse(new Answer(cluster.state(), Node.NODE_NAME_SETTING.get(cluster.getSettings())));
        }
    }

    static final class Rest extends BaseRestHandler {
        @Override
        public String getName() {
            return "lab_main";
        }

        @Override
        public List<Route> routes() {
            return List.of(new Route(RestRequest.Method.GET, "/"), new Route(RestRequest.Method.HEAD, "/"));
        }

        @Override
        protected RestChannelConsumer prepareRequest(RestRequest request, NodeClient client) {
            return channel -> client.executeLocally(TYPE, new Question(), new RestToXContentListener<>(channel));
        }
    }
}

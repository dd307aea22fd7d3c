package match.lab.module;

import java.io.IOException;
import java.util.List;
import java.util.Map;
import java.util.Set;

import org.elasticsearch.client.internal.node.NodeClient;
import org.elasticsearch.common.Strings;
import org.elasticsearch.core.TimeValue;
import org.elasticsearch.rest.BaseRestHandler;
import org.elasticsearch.rest.RestRequest;
import org.elasticsearch.rest.RestUtils;
import org.elasticsearch.rest.action.RestToXContentListener;
import org.elasticsearch.xcontent.XContentParser;

/** PUT, GET and DELETE /_nodes/{id}/shutdown, GET /_nodes/shutdown. */
final class ShutdownRest extends BaseRestHandler {
    private static final String PATH = "/_nodes/{nodeId}/shutdown";
    private static final Set<String> FIELDS = Set.of("type", "reason", "allocation_delay", "target_node_name", "grace_period");

    @Override
    public String getName() {
        return "lab_node_shutdown";
    }

    @Override
    public List<Route> routes() {
        return List.of(
            new Route(RestRequest.Method.PUT, PATH), new Route(RestRequest.Method.DELETE, PATH),
            new Route(RestRequest.Method.GET, PATH), new Route(RestRequest.Method.GET, "/_nodes/shutdown"));
    }

    @Override
    protected RestChannelConsumer prepareRequest(RestRequest rest, NodeClient client) throws IOException {
        TimeValue master = RestUtils.getMasterNodeTimeout(rest);
        String node = rest.param("nodeId", "");
        if (rest.method() == RestRequest.Method.GET) {
            var request = new ShutdownStatus.Request(master, List.of(Strings.splitStringByCommaToArray(node)));
            return channel -> client.execute(ShutdownStatus.GET, request, new RestToXContentListener<>(channel));
        }
        boolean put = rest.method() == RestRequest.Method.PUT;
        var request = new NodeShutdown.Request(master, RestUtils.getAckTimeout(rest), node, put ? wish(rest, node) : null);
        return channel -> client.execute(put ? NodeShutdown.PUT : NodeShutdown.DELETE, request, new RestToXContentListener<>(channel));
    }

    /** What the body asks for; a wrong combination is refused here, before it reaches the master. */
    private static NodeShutdown.Wish wish(RestRequest rest, String node) throws IOException {
        Map<String, Object> body;
        try (XContentParser parser = rest.contentParser()) {
            body = parser.map();
        }
        for (String name : body.keySet()) {
            if (FIELDS.contains(name) == false) throw new IllegalArgumentException("unknown field [" + name + "]");
        }
        String type = text(body, "type"), reason = text(body, "reason");
        if (type == null || reason == null) throw new IllegalArgumentException("Required [type, reason]");
        var wish = new NodeShutdown.Wish(
            type, reason, time(body, "allocation_delay"), text(body, "target_node_name"), time(body, "grace_period"));
        wish.mark(node, null, false);
        return wish;
    }

    private static String text(Map<String, Object> body, String name) {
        Object value = body.get(name);
        return value == null ? null : value.toString();
    }

    private static TimeValue time(Map<String, Object> body, String name) {
        String value = text(body, name);
        return value == null ? null : TimeValue.parseTimeValue(value, name);
    }
}

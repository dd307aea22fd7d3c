package match.lab.module;

import java.io.IOException;
import java.util.List;
import java.util.Map;
import java.util.function.Predicate;

import org.elasticsearch.action.ActionListener;
import org.elasticsearch.action.ActionType;
import org.elasticsearch.action.bulk.BulkItemResponse;
import org.elasticsearch.action.search.SearchRequest;
import org.elasticsearch.action.support.ActiveShardCount;
import org.elasticsearch.action.support.IndicesOptions;
import org.elasticsearch.client.internal.node.NodeClient;
import org.elasticsearch.common.Strings;
import org.elasticsearch.common.bytes.BytesReference;
import org.elasticsearch.features.NodeFeature;
import org.elasticsearch.index.reindex.AbstractBulkByScrollRequest;
import org.elasticsearch.index.reindex.BulkByScrollResponse;
import org.elasticsearch.index.reindex.DeleteByQueryAction;
import org.elasticsearch.index.reindex.DeleteByQueryRequest;
import org.elasticsearch.index.reindex.ReindexAction;
import org.elasticsearch.index.reindex.ReindexRequest;
import org.elasticsearch.index.reindex.UpdateByQueryAction;
import org.elasticsearch.index.reindex.UpdateByQueryRequest;
import org.elasticsearch.rest.BaseRestHandler;
import org.elasticsearch.rest.RestHandler;
import org.elasticsearch.rest.RestRequest;
import org.elasticsearch.rest.RestResponse;
import org.elasticsearch.rest.RestStatus;
import org.elasticsearch.rest.action.RestBuilderListener;
import org.elasticsearch.tasks.Task;
import org.elasticsearch.xcontent.XContentBuilder;
import org.elasticsearch.xcontent.XContentFactory;
import org.elasticsearch.xcontent.XContentParser;
import org.elasticsearch.xcontent.XContentType;

/** The HTTP side of the by-query actions, with the paths, parameters, answers and statuses of the official server. */
abstract class ByQueryRest<R extends AbstractBulkByScrollRequest<R>> extends BaseRestHandler {
    private final ActionType<BulkByScrollResponse> type;
    private final String path;
    private final String name;
    final Predicate<NodeFeature> features;

    ByQueryRest(ActionType<BulkByScrollResponse> type, String path, String name, Predicate<NodeFeature> features) {
        this.type = type;
        this.path = path;
        this.name = name;
        this.features = features;
    }

    static List<RestHandler> handlers(Predicate<NodeFeature> features) {
        return List.of(new Reindex(features), new Update(features), new Delete(features));
    }

    abstract R parse(RestRequest rest) throws IOException;

    @Override
    public String getName() {
        return name;
    }

    @Override
    public List<Route> routes() {
        return List.of(new Route(RestRequest.Method.POST, path));
    }

    @Override
    protected RestChannelConsumer prepareRequest(RestRequest rest, NodeClient client) throws IOException {
        R request = parse(rest);
        options(rest, request);
        if (rest.paramAsBoolean("wait_for_completion", true)) {
            return channel -> client.executeLocally(type, request, new RestBuilderListener<>(channel) {
                @Override
                public RestResponse buildResponse(BulkByScrollResponse done, XContentBuilder json) throws Exception {
                    json.startObject();
                    done.toXContent(json, channel.request());
                    return new RestResponse(status(done), json.endObject());
                }
            });
        }
        request.setShouldStoreResult(true);
        var invalid = request.validate();
        if (invalid != null) throw invalid;
        Task task = client.executeLocally(type, request, ActionListener.noop());
        return channel -> {
            try (XContentBuilder json = channel.newBuilder()) {
                json.startObject().field("task", client.getLocalNodeId() + ":" + task.getId()).endObject();
                channel.sendResponse(new RestResponse(RestStatus.OK, json));
            }
        };
    }

    private static <R extends AbstractBulkByScrollRequest<R>> void options(RestRequest rest, R request) {
        request.setRefresh(rest.paramAsBoolean("refresh", request.isRefresh()));
        request.setTimeout(rest.paramAsTime("timeout", request.getTimeout()));
        request.setScroll(rest.paramAsTime("scroll", request.getScrollTime()));
        if (rest.hasParam("conflicts")) request.setConflicts(rest.param("conflicts"));
        if (rest.hasParam("max_docs")) request.setMaxDocs(rest.paramAsInt("max_docs", -1));
        // One slice does the work of all that are asked for.
        rest.param("slices");
        if (rest.hasParam("requests_per_second")) {
            float rate = Float.parseFloat(rest.param("requests_per_second"));
            request.setRequestsPerSecond(rate < 0 ? Float.POSITIVE_INFINITY : rate);
        }
        if (rest.hasParam("wait_for_active_shards")) {
            request.setWaitForActiveShards(ActiveShardCount.parseString(rest.param("wait_for_active_shards")));
        }
    }

    /** The worst of its failures. */
    private static RestStatus status(BulkByScrollResponse done) {
        if (done.getSearchFailures().isEmpty() == false) return RestStatus.INTERNAL_SERVER_ERROR;
        RestStatus status = done.isTimedOut() ? RestStatus.REQUEST_TIMEOUT : RestStatus.OK;
        for (BulkItemResponse.Failure failure : done.getBulkFailures()) {
            if (failure.getStatus().getStatus() > status.getStatus()) status = failure.getStatus();
        }
        return status;
    }

    /** The index of the path and a search's body with `conflicts` and `max_docs` in it. */
    void search(RestRequest rest, R request) throws IOException {
        SearchRequest search = request.getSearchRequest();
        search.indices(Strings.splitStringByCommaToArray(rest.param("index")));
        search.indicesOptions(IndicesOptions.fromRequest(rest, search.indicesOptions()));
        if (rest.hasParam("routing")) search.routing(rest.param("routing"));
        if (rest.hasContent()) {
            Map<String, Object> body;
            try (XContentParser parser = rest.contentParser()) {
                body = parser.map();
            }
            if (body.containsKey("script")) throw new IllegalArgumentException("this server has no scripts");
            Object conflicts = body.remove("conflicts"), most = body.remove("max_docs");
            if (conflicts != null) request.setConflicts(conflicts.toString());
            if (most != null) request.setMaxDocs(Integer.parseInt(most.toString()));
            BytesReference others = BytesReference.bytes(XContentFactory.jsonBuilder().map(body));
            try (XContentParser parser = XContentType.JSON.xContent().createParser(rest.contentParserConfig(), others.streamInput())) {
                search.source().parseXContent(parser, false, features);
            }
        }
        search.source().size(rest.paramAsInt("scroll_size", AbstractBulkByScrollRequest.DEFAULT_SCROLL_SIZE));
    }

    private static final class Reindex extends ByQueryRest<ReindexRequest> {
        Reindex(Predicate<NodeFeature> features) {
            super(ReindexAction.INSTANCE, "/_reindex", "lab_reindex", features);
        }

        @Override
        ReindexRequest parse(RestRequest rest) throws IOException {
            if (rest.hasContent() == false) throw new IllegalArgumentException("request body is required");
            try (XContentParser parser = rest.contentParser()) {
                return ReindexRequest.fromXContent(parser, features);
            }
        }
    }

    private static final class Update extends ByQueryRest<UpdateByQueryRequest> {
        Update(Predicate<NodeFeature> features) {
            super(UpdateByQueryAction.INSTANCE, "/{index}/_update_by_query", "lab_update_by_query", features);
        }

        @Override
        UpdateByQueryRequest parse(RestRequest rest) throws IOException {
            UpdateByQueryRequest request = new UpdateByQueryRequest();
            search(rest, request);
            return request.setPipeline(rest.param("pipeline"));
        }
    }

    private static final class Delete extends ByQueryRest<DeleteByQueryRequest> {
        Delete(Predicate<NodeFeature> features) {
            super(DeleteByQueryAction.INSTANCE, "/{index}/_delete_by_query", "lab_delete_by_query", features);
        }

        @Override
        DeleteByQueryRequest parse(RestRequest rest) throws IOException {
            if (rest.hasContent() == false) throw new IllegalArgumentException("query is missing");
            DeleteByQueryRequest request = new DeleteByQueryRequest();
            search(rest, request);
            return request;
        }
    }
}

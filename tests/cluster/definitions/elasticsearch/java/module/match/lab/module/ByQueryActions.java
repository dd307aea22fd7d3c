package match.lab.module;

import java.util.List;

import org.elasticsearch.action.ActionListener;
import org.elasticsearch.action.ActionType;
import org.elasticsearch.action.DocWriteRequest;
import org.elasticsearch.action.delete.DeleteRequest;
import org.elasticsearch.action.index.IndexRequest;
import org.elasticsearch.action.support.ActionFilters;
import org.elasticsearch.action.support.HandledTransportAction;
import org.elasticsearch.client.internal.Client;
import org.elasticsearch.client.internal.ParentTaskAssigningClient;
import org.elasticsearch.cluster.service.ClusterService;
import org.elasticsearch.common.io.stream.Writeable;
import org.elasticsearch.common.util.concurrent.EsExecutors;
import org.elasticsearch.index.VersionType;
import org.elasticsearch.index.reindex.AbstractBulkByScrollRequest;
import org.elasticsearch.index.reindex.AbstractBulkIndexByScrollRequest;
import org.elasticsearch.index.reindex.BulkByScrollResponse;
import org.elasticsearch.index.reindex.BulkByScrollTask;
import org.elasticsearch.index.reindex.DeleteByQueryAction;
import org.elasticsearch.index.reindex.DeleteByQueryRequest;
import org.elasticsearch.index.reindex.ReindexAction;
import org.elasticsearch.index.reindex.ReindexRequest;
import org.elasticsearch.index.reindex.ScrollableHitSource.Hit;
import org.elasticsearch.index.reindex.UpdateByQueryAction;
import org.elasticsearch.index.reindex.UpdateByQueryRequest;
import org.elasticsearch.injection.guice.Inject;
import org.elasticsearch.plugins.ActionPlugin.ActionHandler;
import org.elasticsearch.tasks.Task;
import org.elasticsearch.threadpool.ThreadPool;
import org.elasticsearch.transport.TransportService;

/** What each of the three by-query actions writes for a document that was found; no scripts, no other cluster. */
public final class ByQueryActions {
    private ByQueryActions() {}

    static List<ActionHandler<?, ?>> handlers() {
        return List.of(
            new ActionHandler<>(ReindexAction.INSTANCE, Reindex.class),
            new ActionHandler<>(UpdateByQueryAction.INSTANCE, Update.class),
            new ActionHandler<>(DeleteByQueryAction.INSTANCE, Delete.class));
    }

    /** What an action needs of its node. */
    public record Context(ActionFilters filters, TransportService transport, Client client, ClusterService cluster, ThreadPool threads) {
        @Inject
        public Context {}
    }

    abstract static class ByQueryAction<R extends AbstractBulkByScrollRequest<R>> extends HandledTransportAction<R, BulkByScrollResponse> {
        private final Context context;

        ByQueryAction(ActionType<BulkByScrollResponse> type, Writeable.Reader<R> reader, Context context) {
            super(type.name(), context.transport, context.filters, reader, EsExecutors.DIRECT_EXECUTOR_SERVICE);
            this.context = context;
        }

        /** Ask the search for what `write` needs of each hit. */
        abstract void prepare(R request);

        abstract DocWriteRequest<?> write(R request, Hit hit);

        @Override
        protected void doExecute(Task task, R request, ActionListener<BulkByScrollResponse> listener) {
            ActionListener.run(listener, l -> {
                if (request instanceof AbstractBulkIndexByScrollRequest<?> written && written.getScript() != null) {
                    throw new IllegalArgumentException("this server has no scripts");
                }
                prepare(request);
                var client = new ParentTaskAssigningClient(context.client, context.cluster.localNode(), task);
                new ByQuery(request, (BulkByScrollTask) task, client, context.threads, hit -> write(request, hit), l).start();
            });
        }
    }

    public static final class Reindex extends ByQueryAction<ReindexRequest> {
        @Inject
        public Reindex(Context context) {
            super(ReindexAction.INSTANCE, ReindexRequest::new, context);
        }

        @Override
        void prepare(ReindexRequest request) {
            if (request.getRemoteInfo() != null) {
                throw new IllegalArgumentException("this server does not reindex from another cluster");
            }
            request.getSearchRequest().source().version(keepsVersions(request));
        }

        private static boolean keepsVersions(ReindexRequest request) {
            return request.getDestination().versionType() != VersionType.INTERNAL;
        }

        @Override
        DocWriteRequest<?> write(ReindexRequest request, Hit hit) {
            IndexRequest to = request.getDestination();
            IndexRequest copy = new IndexRequest(to.index()).id(hit.getId())
                .source(hit.getSource(), hit.getXContentType())
                .opType(to.opType())
                .versionType(to.versionType())
                .setPipeline(to.getPipeline())
                .setRequireAlias(to.isRequireAlias())
                .routing(routing(to.routing(), hit));
            if (keepsVersions(request)) copy.version(hit.getVersion());
            return copy;
        }

        private static String routing(String rule, Hit hit) {
            if (rule == null || rule.equals("keep")) return hit.getRouting();
            if (rule.equals("discard")) return null;
            if (rule.startsWith("=")) return rule.substring(1);
            throw new IllegalArgumentException("routing is keep, discard or =<value>, not [" + rule + "]");
        }
    }

    public static final class Update extends ByQueryAction<UpdateByQueryRequest> {
        @Inject
        public Update(Context context) {
            super(UpdateByQueryAction.INSTANCE, UpdateByQueryRequest::new, context);
        }

        @Override
        void prepare(UpdateByQueryRequest request) {
            request.getSearchRequest().source().seqNoAndPrimaryTerm(true);
        }

        @Override
        DocWriteRequest<?> write(UpdateByQueryRequest request, Hit hit) {
            return new IndexRequest(hit.getIndex()).id(hit.getId()).routing(hit.getRouting())
                .source(hit.getSource(), hit.getXContentType())
                .setPipeline(request.getPipeline())
                .setIfSeqNo(hit.getSeqNo()).setIfPrimaryTerm(hit.getPrimaryTerm());
        }
    }

    public static final class Delete extends ByQueryAction<DeleteByQueryRequest> {
        @Inject
        public Delete(Context context) {
            super(DeleteByQueryAction.INSTANCE, DeleteByQueryRequest::new, context);
        }

        @Override
        void prepare(DeleteByQueryRequest request) {
            request.getSearchRequest().source().seqNoAndPrimaryTerm(true).fetchSource(false);
        }

        @Override
        DocWriteRequest<?> write(DeleteByQueryRequest request, Hit hit) {
            return new DeleteRequest(hit.getIndex(), hit.getId()).routing(hit.getRouting())
                .setIfSeqNo(hit.getSeqNo()).setIfPrimaryTerm(hit.getPrimaryTerm());
        }
    }
}

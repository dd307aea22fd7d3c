package match.lab.module;

import java.util.ArrayList;
import java.util.List;
import java.util.TreeSet;
import java.util.function.Function;

import org.apache.logging.log4j.LogManager;
import org.apache.logging.log4j.Logger;
import org.elasticsearch.action.ActionListener;
import org.elasticsearch.action.DocWriteRequest;
import org.elasticsearch.action.bulk.BackoffPolicy;
import org.elasticsearch.action.bulk.BulkItemResponse;
import org.elasticsearch.action.bulk.BulkRequest;
import org.elasticsearch.action.bulk.BulkResponse;
import org.elasticsearch.action.bulk.Retry;
import org.elasticsearch.client.internal.ParentTaskAssigningClient;
import org.elasticsearch.common.util.concurrent.AbstractRunnable;
import org.elasticsearch.core.TimeValue;
import org.elasticsearch.index.reindex.AbstractBulkByScrollRequest;
import org.elasticsearch.index.reindex.BulkByScrollResponse;
import org.elasticsearch.index.reindex.BulkByScrollTask;
import org.elasticsearch.index.reindex.ClientScrollableHitSource;
import org.elasticsearch.index.reindex.ScrollableHitSource;
import org.elasticsearch.index.reindex.WorkerBulkByScrollTaskState;
import org.elasticsearch.rest.RestStatus;
import org.elasticsearch.threadpool.ThreadPool;

/**
 * The loop of _reindex, _update_by_query and _delete_by_query: page through a scroll, write one bulk for each
 * page, count into the task. The server has requests, tasks, counters and scroll; its module with the loop is
 * not published. A page is written before the next is read, and slices are not supported.
 */
final class ByQuery {
    private static final Logger LOGGER = LogManager.getLogger(ByQuery.class);

    private final AbstractBulkByScrollRequest<?> request;
    private final BulkByScrollTask task;
    private final WorkerBulkByScrollTaskState counts;
    private final ParentTaskAssigningClient client;
    private final ThreadPool threads;
    private final Function<ScrollableHitSource.Hit, DocWriteRequest<?>> write;
    private final ActionListener<BulkByScrollResponse> listener;
    private final ScrollableHitSource source;
    private final Retry retry;
    private final long most;
    private final long began = System.nanoTime();
    private final TreeSet<String> touched = new TreeSet<>();
    private long asked;
    private long bulkBegan = System.nanoTime();
    private int bulkSize;

    ByQuery(
        AbstractBulkByScrollRequest<?> request, BulkByScrollTask task, ParentTaskAssigningClient client, ThreadPool threads,
        Function<ScrollableHitSource.Hit, DocWriteRequest<?>> write, ActionListener<BulkByScrollResponse> listener) {
        this.request = request;
        this.task = task;
        this.client = client;
        this.threads = threads;
        this.write = write;
        this.listener = listener;
        this.most = request.getMaxDocs() < 0 ? Long.MAX_VALUE : request.getMaxDocs();
        task.setWorker(request.getRequestsPerSecond(), null);
        this.counts = task.getWorkerState();
        BackoffPolicy backoff = BackoffPolicy.exponentialBackoff(request.getRetryBackoffInitialTime(), request.getMaxRetries());
        this.retry = new Retry(BackoffPolicy.wrap(backoff, counts::countBulkRetry), threads);
        var search = request.getSearchRequest();
        if (search.source().sorts() == null || search.source().sorts().isEmpty()) search.source().sort("_doc");
        this.source = new ClientScrollableHitSource(
            LOGGER, backoff, threads, counts::countSearchRetry, this::read, this::fail, client, search);
    }

    void start() {
        source.start();
    }

    private void read(ScrollableHitSource.AsyncResponse page) {
        ScrollableHitSource.Response found = page.response();
        if (found.isTimedOut() || found.getFailures().isEmpty() == false) {
            end(List.of(), found.getFailures(), found.isTimedOut());
            return;
        }
        counts.setTotal(Math.min(found.getTotalHits(), most));
        if (task.isCancelled() || found.getHits().isEmpty() || asked >= most) {
            end(List.of(), List.of(), false);
            return;
        }
        // Waits where requests_per_second says so.
        counts.delayPrepareBulkRequest(threads, bulkBegan, bulkSize, new AbstractRunnable() {
            @Override
            protected void doRun() {
                write(page);
            }

            @Override
            public void onFailure(Exception e) {
                fail(e);
            }
        });
    }

    private void write(ScrollableHitSource.AsyncResponse page) {
        BulkRequest bulk = new BulkRequest();
        for (ScrollableHitSource.Hit hit : page.response().getHits()) {
            if (asked == most) break;
            asked++;
            bulk.add(write.apply(hit));
        }
        bulk.timeout(request.getTimeout());
        bulk.waitForActiveShards(request.getWaitForActiveShards());
        bulkBegan = System.nanoTime();
        bulkSize = bulk.numberOfActions();
        counts.countBatch();
        retry.withBackoff(client::bulk, bulk, ActionListener.wrap(done -> written(page, done), this::fail));
    }

    private void written(ScrollableHitSource.AsyncResponse page, BulkResponse done) {
        List<BulkItemResponse.Failure> failures = new ArrayList<>();
        for (BulkItemResponse item : done) {
            if (item.isFailed()) {
                boolean conflict = item.getFailure().getStatus() == RestStatus.CONFLICT;
                if (conflict) counts.countVersionConflict();
                if (conflict == false || request.isAbortOnVersionConflict()) failures.add(item.getFailure());
                continue;
            }
            touched.add(item.getIndex());
            switch (item.getResponse().getResult()) {
                case CREATED -> counts.countCreated();
                case UPDATED -> counts.countUpdated();
                case DELETED, NOT_FOUND -> counts.countDeleted();
                case NOOP -> counts.countNoop();
            }
        }
        if (failures.isEmpty() == false || task.isCancelled() || asked >= most) {
            end(failures, List.of(), false);
        } else {
            page.done(counts.throttleWaitTime(bulkBegan, System.nanoTime(), bulkSize));
        }
    }

    /** What was written before a cancellation is still reported. */
    private void fail(Exception e) {
        if (task.isCancelled()) {
            end(List.of(), List.of(), false);
        } else {
            source.close(() -> listener.onFailure(e));
        }
    }

    private void end(List<BulkItemResponse.Failure> writes, List<ScrollableHitSource.SearchFailure> reads, boolean timedOut) {
        if (request.isRefresh() == false || touched.isEmpty() || task.isCancelled()) {
            answer(writes, reads, timedOut);
            return;
        }
        client.admin().indices().prepareRefresh(touched.toArray(String[]::new)).execute(ActionListener.wrap(
            refreshed -> answer(writes, reads, timedOut), e -> source.close(() -> listener.onFailure(e))));
    }

    private void answer(List<BulkItemResponse.Failure> writes, List<ScrollableHitSource.SearchFailure> reads, boolean timedOut) {
        source.close(() -> listener.onResponse(new BulkByScrollResponse(
            TimeValue.timeValueNanos(System.nanoTime() - began), task.getStatus(), writes, reads, timedOut)));
    }
}

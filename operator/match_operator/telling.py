"""Steps that concern Elasticsearch, each as a call of its client."""

from match_operator.clients.elastic import ElasticClient
from match_operator.plan import index_steps, restart, steps


def tell(elastic: ElasticClient, step: steps.Step) -> None:
    """Take a step that concerns Elasticsearch; raises ``ElasticsearchError``."""
    match step:
        case steps.ChangeSettings(settings):
            elastic.change_settings(settings)
        case steps.Flush():
            elastic.flush()
        case steps.PutShutdown(node, node_id):
            elastic.put_shutdown(node_id, restart.REASON + node)
        case steps.DropShutdown(_, node_id):
            elastic.drop_shutdown(node_id)
        case steps.ExcludeVoter(node):
            elastic.exclude_voter(node)
        case steps.DropVotes(node_ids):
            elastic.drop_votes(node_ids)
        case steps.AdmitVoters():
            elastic.admit_voters()
        case _:
            _tell_index(elastic, step)


def _tell_index(elastic: ElasticClient, step: steps.Step) -> None:
    match step:
        case index_steps.PutTemplate(name, template):
            elastic.put_template(name, template)
        case index_steps.CreateIndex(name, body):
            elastic.create_index(name, body)
        case index_steps.AbandonIndex(alias, source, targets):
            elastic.abandon_index(alias, source, targets)
        case index_steps.AllowWrites(alias, name, target, badges):
            elastic.allow_writes(alias, name, target, badges)
        case index_steps.DropIndex(name):
            elastic.drop_index(name)
        case index_steps.UpdateIndex(name, settings):
            elastic.update_index(name, settings)
        case index_steps.MarkIndex(name, meta):
            elastic.mark_index(name, meta)
        case _:
            _tell_snapshots(elastic, step)


def _tell_snapshots(elastic: ElasticClient, step: steps.Step) -> None:
    match step:
        case index_steps.PutRepository(name, body):
            elastic.snapshots.register(name, body)
        case index_steps.TakeSnapshot(repository, name, source, metadata):
            elastic.snapshots.take(repository, name, source, metadata)
        case index_steps.DropSnapshots(repository, surplus):
            elastic.snapshots.drop(repository, surplus)
        case index_steps.RestoreSnapshot(repository, name, source, target, settings):
            elastic.snapshots.restore(repository, name, source, target, settings)
        case index_steps.SwitchIndex(alias, source, target):
            elastic.switch_index(alias, source, target)
        case index_steps.DropReplaced(name):
            elastic.drop_index(name)

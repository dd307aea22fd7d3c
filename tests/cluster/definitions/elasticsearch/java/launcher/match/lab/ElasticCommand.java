package match.lab;

import java.util.Arrays;

import org.elasticsearch.cli.CliToolProvider;
import org.elasticsearch.cli.Command;
import org.elasticsearch.cli.ProcessInfo;
import org.elasticsearch.cli.Terminal;
import org.elasticsearch.common.logging.LogConfigurator;
import org.elasticsearch.common.settings.Settings;

/** Runs one of Elastic's own commands, whose launcher is not published: its provider's class, then arguments. */
public final class ElasticCommand {
    private ElasticCommand() {}

    public static void main(String[] argv) throws Exception {
        LogConfigurator.configureESLogging();
        LogConfigurator.configureWithoutConfig(Settings.builder().put("logger.level", "ERROR").build());
        String[] rest = Arrays.copyOfRange(argv, 1, argv.length);
        try (Command command = ((CliToolProvider) Class.forName(argv[0]).getConstructor().newInstance()).create()) {
            System.exit(command.main(rest, Terminal.DEFAULT, ProcessInfo.fromSystem()));
        }
    }
}

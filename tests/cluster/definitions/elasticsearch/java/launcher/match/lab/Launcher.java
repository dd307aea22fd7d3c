package match.lab;

import java.io.ByteArrayInputStream;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.InputStream;
import java.io.SequenceInputStream;
import java.lang.reflect.Method;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Locale;
import java.util.Map;
import java.util.TreeMap;
import java.util.concurrent.CountDownLatch;

import org.elasticsearch.bootstrap.ServerArgs;
import org.elasticsearch.common.io.stream.OutputStreamStreamOutput;
import org.elasticsearch.common.logging.LogConfigurator;
import org.elasticsearch.common.settings.KeyStoreWrapper;
import org.elasticsearch.common.settings.SecureString;
import org.elasticsearch.common.settings.Settings;
import org.elasticsearch.env.Environment;
import org.elasticsearch.node.InternalSettingsPreparer;

/**
 * What the distribution's command line does before the server: open or create the keystore and hand the
 * server its arguments on standard input. It happens inside the server's own JVM, which saves a second
 * JVM at every start.
 *
 * Arguments: any of -Ename=value (also as two words) and -Sname=value for a secure setting. With
 * -Dmatch.lab.environment=true the official image's rule applies too: an environment variable of lower
 * case words with a dot is a setting, and so is ES_SETTING_CLUSTER_NAME (a double underscore is a single one).
 * ELASTIC_PASSWORD becomes the secure setting bootstrap.password unless the keystore has one.
 * With -Dmatch.lab.stdin=true the end of standard input stops the node, so that it never outlives its starter.
 */
public final class Launcher {
    private static final String BOOTSTRAP_PASSWORD = "bootstrap.password";

    private Launcher() {}

    public static void main(String[] argv) throws Exception {
        Path home = Path.of(System.getProperty("es.path.home")).toAbsolutePath();
        Path config = Path.of(System.getProperty("es.path.conf")).toAbsolutePath();
        Map<String, String> settings = new TreeMap<>(), secrets = new TreeMap<>();
        String password = null;
        if (Boolean.getBoolean("match.lab.environment")) {
            System.getenv().forEach((name, value) -> {
                String key = settingOf(name);
                if (key != null && value.isEmpty() == false) settings.put(key, value);
            });
            password = System.getenv("ELASTIC_PASSWORD");
        }
        for (int i = 0; i < argv.length; i++) {
            String flag = argv[i].substring(0, Math.min(2, argv[i].length()));
            String pair = argv[i].length() > 2 ? argv[i].substring(2) : argv[++i];
            int equals = pair.indexOf('=');
            if (equals <= 0 || (flag.equals("-E") || flag.equals("-S")) == false) {
                throw new IllegalArgumentException("want -Ename=value or -Sname=value, got " + argv[i]);
            }
            (flag.equals("-E") ? settings : secrets).put(pair.substring(0, equals), pair.substring(equals + 1));
        }
        byte[] args = serverArgs(home, config, settings, secrets, password);
        System.setIn(new SequenceInputStream(new ByteArrayInputStream(args), rest(System.in)));
        Method server = Class.forName("org.elasticsearch.bootstrap.Elasticsearch").getDeclaredMethod("main", String[].class);
        server.setAccessible(true);
        server.invoke(null, (Object) new String[0]);
    }

    private static String settingOf(String variable) {
        if (variable.matches("[a-z0-9_]+(\\.[a-z0-9_]+)+")) return variable;
        if (variable.matches("ES_SETTING(_[A-Z0-9]+)+(__?[A-Z0-9]+)*") == false) return null;
        String name = variable.substring("ES_SETTING_".length()).toLowerCase(Locale.ROOT);
        return name.replace("__", "\0").replace('_', '.').replace('\0', '_');
    }

    private static byte[] serverArgs(Path home, Path config, Map<String, String> settings, Map<String, String> secrets, String password)
        throws Exception {
        LogConfigurator.configureESLogging();
        Settings.Builder overrides = Settings.builder().put("path.home", home.toString());
        settings.forEach(overrides::put);
        String host = System.getenv().getOrDefault("HOSTNAME", "node-1");
        Environment env = InternalSettingsPreparer.prepareEnvironment(overrides.build(), Map.of(), config, () -> host);
        Files.createDirectories(env.logsDir());
        ByteArrayOutputStream bytes = new ByteArrayOutputStream();
        try (KeyStoreWrapper keystore = KeyStoreWrapper.bootstrap(env.configDir(), () -> new SecureString(new char[0]))) {
            boolean changed = false;
            for (Map.Entry<String, String> secret : secrets.entrySet()) {
                keystore.setString(secret.getKey(), secret.getValue().toCharArray());
                changed = true;
            }
            if (password != null && password.isEmpty() == false && keystore.getSettingNames().contains(BOOTSTRAP_PASSWORD) == false) {
                keystore.setString(BOOTSTRAP_PASSWORD, password.toCharArray());
                changed = true;
            }
            if (changed) keystore.save(env.configDir(), new char[0]);
            new ServerArgs(false, false, null, keystore, env.settings(), env.configDir(), env.logsDir())
                .writeTo(new OutputStreamStreamOutput(bytes));
        }
        return bytes.toByteArray();
    }

    private static InputStream rest(InputStream real) {
        return Boolean.getBoolean("match.lab.stdin") ? real : new InputStream() {
            @Override
            public int read() throws IOException {
                try {
                    new CountDownLatch(1).await();
                } catch (InterruptedException e) {
                    Thread.currentThread().interrupt();
                }
                return -1;
            }
        };
    }
}

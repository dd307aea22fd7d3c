package match.lab;

import java.io.BufferedReader;
import java.io.Console;
import java.io.IOException;
import java.io.InputStreamReader;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.TreeSet;

import org.elasticsearch.common.settings.KeyStoreWrapper;

/**
 * elasticsearch-keystore: create, list, add, add-file, remove and has-passwd as the official command has them,
 * over the server's own keystore. Keystores with a password are not supported, and nothing asks before it
 * writes: what would be overwritten needs --force.
 */
public final class Keystore {
    private static final char[] NONE = new char[0];
    private static final int WRONG_DATA = 65;
    private static final int WRONG_USE = 64;

    private Keystore() {}

    /** A sentence for the caller and the exit code that the official command gives in that case. */
    static final class Refused extends Exception {
        final int code;

        Refused(int code, String sentence) {
            super(sentence);
            this.code = code;
        }
    }

    public static void main(String[] argv) throws Exception {
        try {
            run(Path.of(System.getProperty("es.path.conf")), new ArrayList<>(Arrays.asList(argv)));
        } catch (Refused e) {
            System.err.println("ERROR: " + e.getMessage() + ", with exit code " + e.code);
            System.exit(e.code);
        }
    }

    private static void run(Path config, List<String> words) throws Exception {
        boolean force = words.removeAll(List.of("-f", "--force"));
        boolean stdin = words.removeAll(List.of("-x", "--stdin"));
        words.removeAll(List.of("-s", "--silent", "-v", "--verbose"));
        if (words.isEmpty()) throw new Refused(WRONG_USE, "want create, list, add, add-file, remove or has-passwd");
        String command = words.remove(0);
        switch (command) {
            case "create" -> create(config, force);
            case "list" -> new TreeSet<>(open(config, false).getSettingNames()).forEach(System.out::println);
            case "add" -> add(config, words, force, stdin);
            case "add-file" -> addFile(config, words, force);
            case "remove" -> remove(config, words);
            case "has-passwd" -> {
                open(config, false);
                throw new Refused(1, "Keystore is not password-protected");
            }
            default -> throw new Refused(WRONG_USE, "Unknown command [" + command + "]");
        }
    }

    private static void create(Path config, boolean force) throws Exception {
        if (Files.exists(KeyStoreWrapper.keystorePath(config)) && force == false) {
            throw new Refused(WRONG_DATA, "An elasticsearch keystore already exists; --force overwrites it");
        }
        KeyStoreWrapper.create().save(config, NONE);
        System.out.println("Created elasticsearch keystore in " + config);
    }

    private static KeyStoreWrapper open(Path config, boolean create) throws Exception {
        KeyStoreWrapper found = KeyStoreWrapper.load(config);
        if (found == null && create) found = KeyStoreWrapper.create();
        else if (found == null) throw new Refused(WRONG_DATA, "Elasticsearch keystore not found at ["
            + KeyStoreWrapper.keystorePath(config) + "]. Use 'create' command to create one.");
        else if (found.hasPassword()) throw new Refused(WRONG_DATA, "keystores with a password are not supported here");
        else found.decrypt(NONE);
        return found;
    }

    private static void add(Path config, List<String> names, boolean force, boolean stdin) throws Exception {
        if (names.isEmpty()) throw new Refused(WRONG_USE, "the setting names can not be empty");
        KeyStoreWrapper keystore = open(config, force);
        BufferedReader lines = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        for (String name : names) {
            mayWrite(keystore, name, force);
            keystore.setString(name, value(name, stdin, lines));
        }
        keystore.save(config, NONE);
    }

    private static char[] value(String name, boolean stdin, BufferedReader lines) throws IOException, Refused {
        Console console = System.console();
        if (stdin == false && console != null) return console.readPassword("Enter value for %s: ", name);
        String line = lines.readLine();
        if (line == null) throw new Refused(WRONG_DATA, "no value for " + name + " on standard input");
        return line.toCharArray();
    }

    private static void addFile(Path config, List<String> pairs, boolean force) throws Exception {
        if (pairs.isEmpty() || pairs.size() % 2 != 0) throw new Refused(WRONG_USE, "want a setting and the path of a file, in pairs");
        KeyStoreWrapper keystore = open(config, force);
        for (int i = 0; i < pairs.size(); i += 2) {
            Path file = Path.of(pairs.get(i + 1));
            mayWrite(keystore, pairs.get(i), force);
            if (Files.exists(file) == false) throw new Refused(74, "File [" + file + "] does not exist");
            keystore.setFile(pairs.get(i), Files.readAllBytes(file));
        }
        keystore.save(config, NONE);
    }

    private static void mayWrite(KeyStoreWrapper keystore, String name, boolean force) throws Refused {
        if (keystore.getSettingNames().contains(name) && force == false) {
            throw new Refused(WRONG_DATA, "Setting " + name + " already exists; --force overwrites it");
        }
    }

    private static void remove(Path config, List<String> names) throws Exception {
        KeyStoreWrapper keystore = open(config, false);
        for (String name : names) {
            if (keystore.getSettingNames().contains(name) == false) {
                throw new Refused(78, "Setting [" + name + "] does not exist in the keystore.");
            }
            keystore.remove(name);
        }
        keystore.save(config, NONE);
    }
}

package match.lab;

import java.lang.instrument.Instrumentation;
import java.util.LinkedHashSet;
import java.util.Map;
import java.util.Set;

/**
 * Stands in for the entitlement agent, which is not published. The server attaches it to itself and names
 * its own initialisation class, which does all the instrumenting; the agent lends it the Instrumentation and
 * lets every module see the bridge package that is patched into java.base.
 */
public final class EntitlementAgent {
    private EntitlementAgent() {}

    public static void agentmain(String initialisation, Instrumentation instrumentation) throws Exception {
        ClassLoader loader = ClassLoader.getSystemClassLoader();
        Class<?> target = Class.forName(initialisation, true, loader);
        Set<Module> readers = new LinkedHashSet<>(ModuleLayer.boot().modules());
        readers.add(target.getModule());
        readers.add(loader.getUnnamedModule());
        instrumentation.redefineModule(
            Object.class.getModule(), Set.of(), Map.of("org.elasticsearch.entitlement.bridge", readers), Map.of(), Set.of(), Map.of());
        target.getMethod("initialize", Instrumentation.class).invoke(null, instrumentation);
    }
}

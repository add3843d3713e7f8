import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CountDownLatch;
import org.opensearch.analysis.common.CommonAnalysisPlugin;
import org.opensearch.common.settings.Settings;
import org.opensearch.env.Environment;
import org.opensearch.node.InternalSettingsPreparer;
import org.opensearch.node.Node;
import org.opensearch.plugins.Plugin;
import org.opensearch.transport.Netty4Plugin;

/**
 * One OpenSearch node on 127.0.0.1: {@code OpenSearchNode <folder> <port> [<configuration>]}. SIGTERM ends it.
 *
 * <p>Everybody may do everything there, unless the security plugin is configured, in a folder as OpenSearch has it.
 */
public final class OpenSearchNode extends Node {
    private OpenSearchNode(Environment environment, List<Class<? extends Plugin>> plugins) {
        super(environment, plugins, true);
    }

    public static void main(String[] arguments) throws Exception {
        Path home = Path.of(arguments[0]);
        Path configuration = null;
        List<Class<? extends Plugin>> plugins = new ArrayList<>(List.of(Netty4Plugin.class, CommonAnalysisPlugin.class));
        if (arguments.length > 2) {
            configuration = Path.of(arguments[2]);
            // By name, as it is on the class path only then.
            plugins.add(Class.forName("org.opensearch.security.OpenSearchSecurityPlugin").asSubclass(Plugin.class));
        }
        Settings settings = Settings.builder()
                .put("cluster.name", "hongyan-tests")
                .put("node.name", "hongyan-tests")
                .put("path.home", home)
                .put("path.data", home.resolve("data"))
                .put("path.logs", home.resolve("logs"))
                .put("network.host", "127.0.0.1")
                .put("http.port", arguments[1])
                .put("transport.port", "0") // any: nobody joins
                .put("discovery.type", "single-node")
                .put("cluster.routing.allocation.disk.threshold_enabled", false) // a full disk is the developer's affair
                .build();
        Environment environment = InternalSettingsPreparer.prepareEnvironment(
                settings, Map.of(), configuration, () -> "hongyan-tests");
        OpenSearchNode node = new OpenSearchNode(environment, plugins);
        Runtime.getRuntime().addShutdownHook(new Thread(() -> {
            try {
                node.close();
            } catch (IOException error) {
                error.printStackTrace();
            }
        }));
        node.start();
        // The node's own threads may all be daemons: this one is not.
        new CountDownLatch(1).await();
    }
}

"""The HiveMQ extension of an export: who a device is, which topics it has, whether it is revoked.

HiveMQ's own extensions want a user name and a password for each client, a list that grows with the
fleet; none of the free ones looks at the certificate. This one does, in one small class against
HiveMQ's open extension SDK. Does no I/O.
"""

from __future__ import annotations

from firmshake import watcher

ID = "firmshake-device-topics"
SOURCE = "src/firmshake/DeviceTopics.java"
SERVICE = "src/META-INF/services/com.hivemq.extension.sdk.api.ExtensionMain"

DESCRIPTION = f"""\
<?xml version="1.0" encoding="UTF-8"?>
<hivemq-extension>
    <id>{ID}</id>
    <name>Topics by the device's certificate</name>
    <version>1.0.0</version>
    <priority>1000</priority>
    <author>firmshake</author>
</hivemq-extension>
"""

MAIN = "firmshake.DeviceTopics\n"

JAVA = """\
package firmshake;

import com.hivemq.extension.sdk.api.ExtensionMain;
import com.hivemq.extension.sdk.api.auth.SimpleAuthenticator;
import com.hivemq.extension.sdk.api.auth.parameter.SimpleAuthInput;
import com.hivemq.extension.sdk.api.auth.parameter.SimpleAuthOutput;
import com.hivemq.extension.sdk.api.auth.parameter.TopicPermission;
import com.hivemq.extension.sdk.api.client.parameter.ClientTlsInformation;
import com.hivemq.extension.sdk.api.packets.auth.DefaultAuthorizationBehaviour;
import com.hivemq.extension.sdk.api.packets.connect.ConnackReasonCode;
import com.hivemq.extension.sdk.api.parameter.ExtensionStartInput;
import com.hivemq.extension.sdk.api.parameter.ExtensionStartOutput;
import com.hivemq.extension.sdk.api.parameter.ExtensionStopInput;
import com.hivemq.extension.sdk.api.parameter.ExtensionStopOutput;
import com.hivemq.extension.sdk.api.services.Services;
import com.hivemq.extension.sdk.api.services.builder.Builders;
import java.io.File;
import java.io.FileInputStream;
import java.io.IOException;
import java.io.InputStream;
import java.security.GeneralSecurityException;
import java.security.cert.CRL;
import java.security.cert.CertificateFactory;
import java.security.cert.X509CRL;
import java.security.cert.X509Certificate;
import java.util.ArrayList;
import java.util.Date;
import java.util.List;
import java.util.regex.Pattern;
import javax.naming.InvalidNameException;
import javax.naming.ldap.LdapName;
import javax.naming.ldap.Rdn;

/**
 * Lets a device in whose client id is the common name of its certificate, and into the topics below
 * devices/ITS ID/ alone; and firmshake fleet watch, which reads what the devices report and may do
 * nothing else. TLS has checked before that the certificate is the fleet's; whether it is
 * revoked is looked up here, in crl.pem beside this extension. Where that can't be read or has run
 * out, nobody gets in.
 */
public class DeviceTopics implements ExtensionMain, SimpleAuthenticator {

    private static final Pattern DEVICE = Pattern.compile("[A-Za-z0-9][A-Za-z0-9._-]{0,63}");
    // no device is called so
    private static final String WATCHER = "@WATCHER@";

    private File file;
    private long read = Long.MIN_VALUE;
    private List<X509CRL> lists = new ArrayList<>();

    @Override
    public void extensionStart(final ExtensionStartInput input, final ExtensionStartOutput output) {
        file = new File(input.getExtensionInformation().getExtensionHomeFolder(), "crl.pem");
        Services.securityRegistry().setAuthenticatorProvider(provider -> this);
    }

    @Override
    public void extensionStop(final ExtensionStopInput input, final ExtensionStopOutput output) {}

    @Override
    public void onConnect(final SimpleAuthInput input, final SimpleAuthOutput output) {
        final X509Certificate[] chain = input.getConnectionInformation()
                .getClientTlsInformation()
                .flatMap(ClientTlsInformation::getClientCertificateChain)
                .orElse(new X509Certificate[0]);
        final String id = input.getClientInformation().getClientId();
        if (!isOurs(chain, id)) {
            output.failAuthentication(ConnackReasonCode.NOT_AUTHORIZED);
            return;
        }
        output.getDefaultPermissions().add(id.equals(WATCHER) ? ofWatcher() : ofDevice(id));
        output.getDefaultPermissions().setDefaultBehaviour(DefaultAuthorizationBehaviour.DENY);
        output.authenticateSuccessfully();
    }

    private static TopicPermission ofDevice(final String id) {
        return Builders.topicPermission()
                .topicFilter("devices/" + id + "/#")
                .type(TopicPermission.PermissionType.ALLOW)
                .build();
    }

    private static TopicPermission ofWatcher() {
        return Builders.topicPermission()
                .topicFilter("@TOPICS@")
                .activity(TopicPermission.MqttActivity.SUBSCRIBE)
                .type(TopicPermission.PermissionType.ALLOW)
                .build();
    }

    /** Whether the chain begins with a certificate of that client that is not revoked. */
    boolean isOurs(final X509Certificate[] chain, final String id) {
        try {
            return chain.length > 1
                    && (DEVICE.matcher(id).matches() || id.equals(WATCHER))
                    && id.equals(commonName(chain[0]))
                    && !isRevoked(chain[0], chain[1]);
        } catch (final GeneralSecurityException | IOException | InvalidNameException error) {
            return false;
        }
    }

    private static String commonName(final X509Certificate certificate)
            throws InvalidNameException {
        final LdapName name = new LdapName(certificate.getSubjectX500Principal().getName());
        // one name, and it is the common name: nothing else is of this fleet
        final Rdn only = name.size() == 1 ? name.getRdn(0) : null;
        final boolean known = only != null && only.getType().equalsIgnoreCase("CN");
        return known ? only.getValue().toString() : "";
    }

    private boolean isRevoked(final X509Certificate certificate, final X509Certificate issuer)
            throws GeneralSecurityException, IOException {
        certificate.verify(issuer.getPublicKey());
        for (final X509CRL list : lists()) {
            if (list.getIssuerX500Principal().equals(certificate.getIssuerX500Principal())
                    && list.getNextUpdate() != null
                    && list.getNextUpdate().after(new Date())) {
                list.verify(issuer.getPublicKey());
                return list.isRevoked(certificate);
            }
        }
        throw new GeneralSecurityException("no list of the revoked that is in date");
    }

    /** The lists in the file, read again when it has changed. */
    private synchronized List<X509CRL> lists() throws GeneralSecurityException, IOException {
        final long changed = file.lastModified();
        if (changed == 0) {
            throw new IOException("no crl.pem");
        }
        if (changed != read) {
            final List<X509CRL> found = new ArrayList<>();
            final CertificateFactory reader = CertificateFactory.getInstance("X.509");
            try (InputStream stream = new FileInputStream(file)) {
                for (final CRL list : reader.generateCRLs(stream)) {
                    found.add((X509CRL) list);
                }
            }
            lists = found;
            read = changed;
        }
        return lists;
    }
}
""".replace("@WATCHER@", watcher.NAME).replace("@TOPICS@", watcher.TOPICS)

package org.opensaml.saml.saml2.core;

/** Empty: OpenSAML is not on Maven Central, but the name must resolve when the security module is linked. */
public interface StatusResponseType {}

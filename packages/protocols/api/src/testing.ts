/** The conformance suite of proxy facets comes here: `describeProtocol(protocol, fakeTarget)`. */
export {};

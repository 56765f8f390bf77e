package verifiers

// Needs says what a configuration must give for a provider to be of use.
type Needs struct {
	// Secret says in words what the secret is; empty if the provider uses none.
	Secret string
	// SecretOptional says that keys are published: a secret, if given, is used instead.
	SecretOptional bool
	// SecretByHandshake says that the provider creates the secret itself and sends it in a handshake: a configuration may begin without one.
	SecretByHandshake bool
	// Params are the params without default that must be given.
	Params []Param
	// PublicURL says that the provider signs the address, so that public_url is needed behind another proxy.
	PublicURL bool
	// Unsigned says that nothing vouches for a request: a token in the address, or the operator's word, is needed.
	Unsigned bool
	// KeyAddress is the param that says where published keys are fetched from, if it is not given. Without either of them nothing verifies.
	KeyAddress string
	// KeyFetcher says that published keys are fetched.
	KeyFetcher bool
}

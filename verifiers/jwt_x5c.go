package verifiers

import (
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"fmt"
	"slices"

	"github.com/go-jose/go-jose/v4"
)

// verifyX5C verifies with the chain in the token's header: exactly as long as it must be, up to the pinned root, with the extensions that name its purpose.
func (s *jwtScheme) verifyX5C(a *attempt, token *jose.JSONWebSignature, secrets []Secret) ([]byte, error) {
	roots := s.roots
	if roots == nil || len(secrets) > 0 { // never nil: that would be the system's roots
		roots = x509.NewCertPool()
		for _, secret := range secrets {
			roots.AppendCertsFromPEM(secret.value)
		}
	}
	chains, err := token.Signatures[0].Protected.Certificates(x509.VerifyOptions{
		Roots: roots, CurrentTime: a.r.At, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny},
	})
	if err != nil {
		return nil, fmt.Errorf("%w: certificate chain is not the provider's", ErrMismatch)
	}
	length := s.spec.X5C.Length
	if length == 0 {
		length = 3
	}
	for _, chain := range chains {
		if len(chain) == length && hasOID(chain[0], s.leaf) && hasOID(chain[1], s.inter) && fitsAlgorithm(chain[0].PublicKey, token.Signatures[0].Protected.Algorithm) {
			if payload, err := token.Verify(chain[0].PublicKey); err == nil {
				return payload, nil
			}
		}
	}
	return nil, fmt.Errorf("%w with the certificate of the token", ErrMismatch)
}

func hasOID(c *x509.Certificate, oid asn1.ObjectIdentifier) bool {
	return oid == nil || slices.ContainsFunc(c.Extensions, func(e pkix.Extension) bool { return e.Id.Equal(oid) })
}

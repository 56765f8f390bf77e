package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/pem"
	"fmt"
	"math/big"
	"time"
)

// chain is a certificate chain of a purpose, as Apple signs with: certificates in PEM, leaf first, and the leaf's private key.
type chain struct {
	Certificates []string `json:"certificates"`
	Key          string   `json:"key"`
}

// The extensions by which Apple marks the certificates of App Store receipts.
var (
	appleLeaf         = asn1.ObjectIdentifier{1, 2, 840, 113635, 100, 6, 11, 1}
	appleIntermediate = asn1.ObjectIdentifier{1, 2, 840, 113635, 100, 6, 2, 1}
)

// newChain makes a root, an intermediate and a leaf.
func newChain(now time.Time) (*chain, error) {
	type link struct {
		name string
		mark asn1.ObjectIdentifier
	}
	c := new(chain)
	var parent *x509.Certificate
	var parentKey *ecdsa.PrivateKey
	for serial, l := range []link{{name: "root"}, {name: "intermediate", mark: appleIntermediate}, {name: "leaf", mark: appleLeaf}} {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			return nil, fmt.Errorf("chain: %w", err)
		}
		isCA := l.name != "leaf"
		template := &x509.Certificate{
			SerialNumber: big.NewInt(int64(serial + 1)), Subject: pkix.Name{CommonName: l.name}, NotBefore: now.Add(-time.Hour), NotAfter: now.Add(time.Hour),
			IsCA: isCA, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature,
		}
		if isCA {
			template.KeyUsage = x509.KeyUsageCertSign
		}
		if l.mark != nil {
			template.ExtraExtensions = []pkix.Extension{{Id: l.mark, Value: asn1.NullBytes}}
		}
		if parent == nil {
			parent, parentKey = template, key
		}
		der, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, parentKey)
		if err != nil {
			return nil, fmt.Errorf("chain: %w", err)
		}
		if parent, err = x509.ParseCertificate(der); err != nil {
			return nil, fmt.Errorf("chain: %w", err)
		}
		parentKey = key
		c.Certificates = append([]string{string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))}, c.Certificates...)
	}
	der, err := x509.MarshalPKCS8PrivateKey(parentKey)
	if err != nil {
		return nil, fmt.Errorf("chain: %w", err)
	}
	c.Key = string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
	return c, nil
}

package badgerstore

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"math/bits"
	"slices"

	"github.com/sluice-webhooks/sluice/queue"
)

// A bucket that gets no more claims has them in pages: a claim is on the page that follows from its hash, in the page's first row or, where that is full, in the next one. So one
// look-up says whether it is there.

// claimsOnPage is how many claims are on a page on average. Few pages take a second row then.
const claimsOnPage = 16

// pageOf returns the page of a claim.
func pageOf(hash *[16]byte, pages uint32) uint32 {
	page, _ := bits.Mul64(indexed(hash), uint64(pages))
	return uint32(page)
}

// sortClaims brings claims into the order of their pages. Of several with one hash the newest stays.
func sortClaims(claims []loggedClaim) []loggedClaim {
	slices.SortFunc(claims, func(a, b loggedClaim) int {
		return cmp.Or(bytes.Compare(a.hash[:], b.hash[:]), cmp.Compare(b.seq, a.seq))
	})
	return slices.CompactFunc(claims, func(a, b loggedClaim) bool { return a.hash == b.hash })
}

// eachPageRow calls fn for the rows of the pages that sorted claims are on.
func eachPageRow(bucket uint32, sorted []loggedClaim, pages uint32, fn func(key, value []byte) error) error {
	for len(sorted) > 0 {
		page, n := pageOf(&sorted[0].hash, pages), 1
		for n < len(sorted) && pageOf(&sorted[n].hash, pages) == page {
			n++
		}
		part := byte(0)
		for row := range slices.Chunk(sorted[:n], claimsInRow) {
			if err := fn(claimPageKey(bucket, page, part), encodeClaims(row)); err != nil {
				return err
			}
			part++
		}
		sorted = sorted[n:]
	}
	return nil
}

// claim finds the claim of a bucket that has a hash. Errors: queue.ErrNotFound, queue.ErrDamaged, and errUnseen if the bucket's log has it in a row that
// the snapshot does not show.
func (n *snapshot) claim(b *claimBucket, hash *[16]byte) (loggedClaim, error) {
	switch {
	case b.log != nil:
		row, ok := b.log.find(hash)
		if !ok {
			return loggedClaim{}, queue.ErrNotFound
		}
		c, _, err := n.claimIn(claimLogKey(b.number, row), hash)
		if errors.Is(err, queue.ErrNotFound) {
			err = errUnseen
		}
		return c, err
	case b.pages > 0:
		return n.pagedClaim(b, hash)
	}
	c := loggedClaim{hash: *hash}
	return c, n.row(claimKey(b.number, *hash), func(value []byte) error {
		d := decoder{b: value}
		c.seq, c.until = d.fixed(), d.int()
		return nil
	})
}

// errUnseen means that a claim has come to the database, or was sorted into a page, since a snapshot was made or a list of buckets was read.
var errUnseen = fmt.Errorf("not in this snapshot: %w", queue.ErrNotFound)

func (n *snapshot) pagedClaim(b *claimBucket, hash *[16]byte) (loggedClaim, error) {
	page := pageOf(hash, b.pages)
	for part := 0; ; part++ {
		c, full, err := n.claimIn(claimPageKey(b.number, page, byte(part)), hash)
		if !full || !errors.Is(err, queue.ErrNotFound) {
			return c, err
		}
	}
}

// claimIn finds the last claim of a row that has a hash. full says that the row has as many claims as fit.
func (n *snapshot) claimIn(key []byte, hash *[16]byte) (found loggedClaim, full bool, err error) {
	claims := 0
	err = n.row(key, func(value []byte) error {
		sound := eachClaim(value, func(c *loggedClaim) {
			claims++
			if c.hash == *hash {
				found = *c
			}
		})
		if !sound {
			return fmt.Errorf("dedup claims: %w", queue.ErrDamaged)
		}
		return nil
	})
	if err == nil && found.seq == 0 {
		err = queue.ErrNotFound
	}
	return found, claims >= claimsInRow, err
}

package badgerstore

import (
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/dgraph-io/badger/v4"
	"go.uber.org/zap"

	"github.com/sluice-webhooks/sluice/queue"
)

// claimLog holds the claims of a bucket in the order in which they come, many to a row. Which of its rows has a claim is in memory, so a new event needs no look-up. It gets
// claims as long as its bucket is the newest; then it is sorted into pages (claim_seal.go).
type claimLog struct {
	bucket uint32
	given  atomic.Int64 // claims that it has, or is about to have
	load   func()       // brings the rows from before the store was opened into the index, once
	last   uint64       // no later event has a claim in it; 0: not known yet. Store.sealing guards it

	mu    sync.RWMutex
	index map[uint64]uint32 // by the first 8 bytes of its hash: the number of the row that has a claim

	row  uint32        // that gets the next claims; this and what follows is only the applier's
	open []loggedClaim // in that row
}

// loggedClaim is a claim of an event.
type loggedClaim struct {
	hash  [16]byte
	seq   uint64
	until int64
	row   uint32 // of the log
}

// claimsInRow is how many claims are in one row, of a log or of a page, at most. Such a row is not large enough for the value log.
const claimsInRow = 24

// newClaimLog returns a log. row is the first that it may write.
func newClaimLog(bucket, row uint32) *claimLog {
	return &claimLog{bucket: bucket, load: func() {}, index: map[uint64]uint32{}, row: row}
}

func indexed(hash *[16]byte) uint64 { return be.Uint64(hash[:]) }

// find returns the row that may have a claim. It waits until the index is complete.
func (l *claimLog) find(hash *[16]byte) (row uint32, ok bool) {
	l.load()
	l.mu.RLock()
	defer l.mu.RUnlock()
	row, ok = l.index[indexed(hash)]
	return row, ok
}

// note takes claims into the index that the newest snapshot shows.
func (l *claimLog) note(claims []loggedClaim) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for i := range claims {
		l.index[indexed(&claims[i].hash)] = claims[i].row
	}
}

// addClaim puts a claim into the transaction.
func (a *applier) addClaim(seq uint64, claim *dedupClaim) error {
	bucket := a.state.buckets[claim.bucket]
	if claim.log != nil {
		bucket.form = formLog
		a.tx.used.add(smallRows(1)) // it takes less
		a.tx.claims[claim.log] = append(a.tx.claims[claim.log], loggedClaim{hash: claim.hash, seq: seq, until: claim.until})
	} else {
		key := claimKey(claim.bucket, claim.hash)
		if err := a.tx.set(key, seal(key, encodeClaim(seq, claim.until))); err != nil {
			return fmt.Errorf("apply dedup claim: %w", err)
		}
	}
	if claim.until > bucket.until {
		bucket.until = roundUntil(claim.until)
		a.state.buckets[claim.bucket] = bucket
		a.tx.bucket(claim.bucket)
	}
	return nil
}

// writeClaims writes the rows of a log that get a transaction's claims: what was left of the last one, and new ones.
func (l *claimLog) writeClaims(t *transaction, claims []loggedClaim) error {
	for len(claims) > 0 {
		if len(l.open) == claimsInRow {
			l.row, l.open = l.row+1, l.open[:0]
		}
		n := min(len(claims), claimsInRow-len(l.open))
		for i := range n {
			claims[i].row = l.row
		}
		l.open = append(l.open, claims[:n]...)
		claims = claims[n:]
		key := claimLogKey(l.bucket, l.row)
		if err := t.set(key, seal(key, encodeClaims(l.open))); err != nil {
			return err
		}
	}
	return nil
}

// encodeClaims returns a row with several claims.
func encodeClaims(claims []loggedClaim) []byte {
	e := encoder{b: make([]byte, 0, 20+28*len(claims)+4)}
	e.fixed(claims[0].seq)
	e.int(claims[0].until)
	for i := range claims {
		c := &claims[i]
		e.b = append(e.b, c.hash[:]...)
		e.int(int64(c.seq - claims[0].seq))
		e.int(c.until - claims[0].until)
	}
	return e.b
}

// eachClaim calls fn for the claims of a row; false if it is none.
func eachClaim(value []byte, fn func(c *loggedClaim)) bool {
	d := decoder{b: value}
	seq, until := d.fixed(), d.int()
	for len(d.b) > 0 {
		var c loggedClaim
		if copy(c.hash[:], d.b) < len(c.hash) {
			return false
		}
		d.b = d.b[len(c.hash):]
		c.seq, c.until = seq+uint64(d.int()), until+d.int()
		if d.bad {
			return false
		}
		fn(&c)
	}
	return !d.bad
}

// eachSealedClaim calls fn for the claims of a row of the database. Errors: queue.ErrDamaged, after fn was called for some.
func eachSealedClaim(key []byte, item *badger.Item, fn func(c *loggedClaim)) error {
	return item.Value(func(sealed []byte) error {
		if value, sound := unseal(key, sealed); !sound || !eachClaim(value, fn) {
			return queue.ErrDamaged
		}
		return nil
	})
}

// loadLog brings the rows from before the store was opened into the index of a log.
func (s *Store) loadLog(l *claimLog) {
	sn := s.snaps.get()
	defer s.snaps.put(sn)
	claims := int64(0)
	err := guarded(func() error {
		l.mu.Lock()
		defer l.mu.Unlock()
		return s.eachLogged(sn, l.bucket, func(c *loggedClaim) {
			claims++
			if row, ok := l.index[indexed(&c.hash)]; !ok || row < c.row {
				l.index[indexed(&c.hash)] = c.row
			}
		})
	})
	l.given.Add(claims)
	if err != nil {
		s.log.Error("dedup claims cannot be read: events that come again are taken for new ones", zap.Error(err))
	}
}

// eachLogged calls fn for the claims of a bucket's log. A broken row is passed.
func (s *Store) eachLogged(sn *snapshot, bucket uint32, fn func(c *loggedClaim)) error {
	broken := 0
	prefix := claimLogPrefix(bucket)
	sn.walk(prefix, prefix, func(key []byte, item *badger.Item) bool {
		row := be.Uint32(key[len(prefix):])
		err := eachSealedClaim(key, item, func(c *loggedClaim) {
			c.row = row
			fn(c)
		})
		if err != nil {
			broken++
		}
		return true
	})
	if broken > 0 {
		return fmt.Errorf("%s of dedup claims broken", count(broken, "row is", "rows are"))
	}
	return nil
}

// nextLogRow returns the number behind the last row of a bucket's log.
func (n *snapshot) nextLogRow(bucket uint32) (row uint32, err error) {
	defer n.guard(&err)
	prefix := claimLogPrefix(bucket)
	it := n.txn.NewIterator(badger.IteratorOptions{Prefix: prefix, Reverse: true})
	defer it.Close()
	if it.Seek(claimLogKey(bucket, ^uint32(0))); it.ValidForPrefix(prefix) {
		row = be.Uint32(it.Item().Key()[len(prefix):]) + 1
	}
	return row, nil
}

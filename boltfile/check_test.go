package boltfile

import (
	"bytes"
	"errors"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"go.etcd.io/bbolt"
)

// testPage is the page size of files in these tests, small so that there are many pages.
const testPage = 1 << 10

// image is the content of a file.
type image []byte

// sampleFile has all that a page can be: branches and leaves, values that need more pages, buckets in buckets, inline or not,
// and a freelist.
func sampleFile(t testing.TB) image {
	t.Helper()
	path := filepath.Join(t.TempDir(), "sample.db")
	db, err := bbolt.Open(path, 0o600, &bbolt.Options{PageSize: testPage, FreelistType: bbolt.FreelistMapType, NoSync: true})
	if err != nil {
		t.Fatal(err)
	}
	fill := func(b *bbolt.Bucket, from, to, size int) {
		for n := from; n < to; n++ {
			if err := b.Put(fmt.Appendf(nil, "%04d", n), bytes.Repeat([]byte{byte(n)}, size)); err != nil {
				t.Fatal(err)
			}
		}
	}
	bucket := func(tx interface {
		CreateBucketIfNotExists([]byte) (*bbolt.Bucket, error)
	}, name string) *bbolt.Bucket {
		b, err := tx.CreateBucketIfNotExists([]byte(name))
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	for round := range 3 {
		err := db.Update(func(tx *bbolt.Tx) error {
			if err := bucket(tx, "format").Put(keyVersion, []byte(format.Version)); err != nil {
				return err
			}
			fill(bucket(tx, "rows"), 0, 300-50*round, 20+round)
			fill(bucket(tx, "large"), round, round+2, 3000)
			outer := bucket(tx, "outer")
			fill(bucket(outer, "inline"), 0, 3, 5)
			fill(bucket(outer, "tree"), 0, 100, 20)
			fill(outer, 2000, 2002, 5)
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return content
}

func (m image) page(id uint64) []byte { return m[id*testPage:] }

// meta is the content of the meta page that counts.
func (m image) meta() []byte {
	if native.Uint64(m[pageHeader+48:]) > native.Uint64(m[testPage+pageHeader+48:]) {
		return m[pageHeader:]
	}
	return m[testPage+pageHeader:]
}

// sign makes the checksums of the meta pages right.
func (m image) sign() {
	for _, b := range [][]byte{m[pageHeader:], m[testPage+pageHeader:]} {
		sum := fnv.New64a()
		sum.Write(b[:metaSum])
		native.PutUint64(b[metaSum:], sum.Sum64())
	}
}

// element is the beginning of an element of a page, and data what it has: the key and the value.
func (m image) element(id uint64, n int) []byte { return m.page(id)[pageHeader+elementSize*n:] }

func (m image) data(id uint64, n int) []byte {
	e := m.element(id, n)
	if native.Uint16(m.page(id)[8:]) == leafPage {
		return e[native.Uint32(e[4:]):]
	}
	return e[native.Uint32(e):]
}

// bucket is the root page of a bucket in a leaf, and where its value is.
func (m image) bucket(leaf uint64, name string) (root uint64, value []byte) {
	for n := range int(native.Uint16(m.page(leaf)[10:])) {
		if data := m.data(leaf, n); bytes.HasPrefix(data, []byte(name)) {
			return native.Uint64(data[len(name):]), data[len(name):]
		}
	}
	panic("no bucket " + name)
}

// TestCheckRefusesDamage: each damage is an error that says what is wrong and where.
func TestCheckRefusesDamage(t *testing.T) {
	sample := sampleFile(t)
	root, freelist := native.Uint64(sample.meta()[16:]), native.Uint64(sample.meta()[32:])
	pages := native.Uint64(sample.meta()[40:])
	rows, _ := sample.bucket(root, "rows")
	large, _ := sample.bucket(root, "large")
	outer, _ := sample.bucket(root, "outer")
	tree, _ := sample.bucket(outer, "tree")
	child := native.Uint64(sample.element(rows, 0)[8:]) // the first page of rows
	if native.Uint16(sample.page(rows)[8:]) != branchPage || native.Uint16(sample.page(child)[8:]) != leafPage || native.Uint16(sample.page(outer)[8:]) != leafPage ||
		native.Uint32(sample.page(large)[12:]) == 0 || native.Uint16(sample.page(freelist)[10:]) < 2 {
		t.Fatal("the sample is not what these cases need")
	}
	inline := func(m image) []byte {
		_, value := m.bucket(outer, "inline")
		return value[bucketHeader:]
	}
	put16, put32, put64 := native.PutUint16, native.PutUint32, native.PutUint64
	for name, test := range map[string]struct {
		damage func(m image)
		want   string // of the error
	}{
		"both metas": {func(m image) { m[pageHeader+20]++; m[testPage+pageHeader+20]++ }, `pages 0 and 1: none is a valid meta page`},
		"page size of 0": {func(m image) { put32(m[pageHeader+8:], 0); put32(m[testPage+pageHeader+8:], 0); m.sign() },
			`pages 0 and 1: none is a valid meta page`},
		"page size that differs": {func(m image) { put64(m[pageHeader+48:], 1); put32(m[testPage+pageHeader+8:], 4096); m.sign() },
			`page 1: its page size is 4096, that of page 0 is 1024`},
		"more pages than the file":  {func(m image) { put64(m.meta()[40:], 1<<40); m.sign() }, `it has \d+ of its 1099511627776 pages`},
		"root that is a meta page":  {func(m image) { put64(m.meta()[16:], 1); m.sign() }, `page 1: it is used twice`},
		"root of no page":           {func(m image) { put64(m.meta()[16:], pages); m.sign() }, `page \d+: it is used, and the file has`},
		"root that is the freelist": {func(m image) { put64(m.meta()[16:], freelist); m.sign() }, `it is used twice`},
		"no freelist":               {func(m image) { put64(m.meta()[32:], 1<<64-1); m.sign() }, `page 18446744073709551615: it is used, and the file has`},
		"freelist that is a leaf":   {func(m image) { put64(m.meta()[32:], child); m.sign() }, `page \d+: it is no freelist: kind 0x2`},
		"freelist that is too long": {func(m image) { put16(m.page(freelist)[10:], 1000) }, `it is no freelist: kind 0x10, 1000 free pages in \d+ bytes`},
		"freelist of gigabytes": {func(m image) { put16(m.page(freelist)[10:], longFreelist); put64(m.page(freelist)[pageHeader:], 1<<33) },
			`it is no freelist: kind 0x10, 8589934592 free pages`},
		"freelist of a page twice": {func(m image) { copy(m.page(freelist)[pageHeader:][:8], m.page(freelist)[pageHeader+8:]) }, `it is used twice`},
		"freelist of a used page":  {func(m image) { put64(m.page(freelist)[pageHeader:], child) }, fmt.Sprintf(`page %d: it is used twice`, child)},
		"freelist of no page":      {func(m image) { put64(m.page(freelist)[pageHeader:], 1<<50) }, `page 1125899906842624: it is used, and`},

		"number of another page": {func(m image) { put64(m.page(child), 77) }, fmt.Sprintf(`page %d: its number is 77`, child)},
		"unknown kind":           {func(m image) { m.page(child)[8] = leafPage | branchPage }, `it is no branch or leaf: kind 0x3`},
		"freelist in a tree":     {func(m image) { m.page(child)[8] = freelistPage }, `it is no branch or leaf: kind 0x10`},
		"meta in a tree":         {func(m image) { m.page(child)[8] = 4 }, `it is no branch or leaf: kind 0x4`},
		"too many elements":      {func(m image) { put16(m.page(child)[10:], 64) }, `64 elements in 1024 bytes`},
		"fewer elements":         {func(m image) { m.page(child)[10]-- }, `element 0 has`},
		"empty leaf":             {func(m image) { put16(m.page(child)[10:], 0) }, fmt.Sprintf(`page %d: it is empty`, child)},
		"empty branch":           {func(m image) { put16(m.page(rows)[10:], 0) }, fmt.Sprintf(`page %d: it is empty`, rows)},
		"overflow of gigabytes":  {func(m image) { put32(m.page(large)[12:], 1<<32-1) }, `page \d+: 4294967295 pages continue it`},
		"overflow into a page":   {func(m image) { put32(m.page(child)[12:], 8) }, `it is used twice`},
		"overflow that is lost":  {func(m image) { put32(m.page(large)[12:], 0) }, fmt.Sprintf(`page %d: element \d has`, large)},

		"child that is its parent": {func(m image) { put64(m.element(rows, 1)[8:], rows) }, fmt.Sprintf(`page %d: it is used twice`, rows)},
		"child of two":             {func(m image) { put64(m.element(rows, 1)[8:], child) }, fmt.Sprintf(`page %d: it is used twice`, child)},
		"child of no page":         {func(m image) { put64(m.element(rows, 1)[8:], 1<<63) }, `page 9223372036854775808: it is used, and`},
		"child of another bucket":  {func(m image) { put64(m.element(rows, 1)[8:], tree) }, `out of order|it is used twice`},
		"branch with a leaf's key": {func(m image) { copy(m.data(rows, 1), "9999") }, `page \d+: the key of element \d+ is out of order`},
		"child with earlier keys":  {func(m image) { copy(m.data(rows, 0), "0001") }, fmt.Sprintf(`page %d: the key of element 0 is out of order`, child)},
		"child with later keys":    {func(m image) { copy(m.data(rows, 0), "....") }, fmt.Sprintf(`page %d: the key of element 0 is out of order`, child)},
		"branch position":          {func(m image) { m.element(rows, 2)[0]++ }, fmt.Sprintf(`page %d: element 2 has`, rows)},

		"position far away":    {func(m image) { put32(m.element(child, 1)[4:], 1<<31) }, fmt.Sprintf(`page %d: element 1 has`, child)},
		"position by a bit":    {func(m image) { m.element(child, 1)[4] ^= 1 }, fmt.Sprintf(`page %d: element 1 has`, child)},
		"key of no bytes":      {func(m image) { put32(m.element(child, 0)[8:], 0) }, fmt.Sprintf(`page %d: element 0 has flags 0x0 and 0\+`, child)},
		"key of gigabytes":     {func(m image) { put32(m.element(child, 0)[8:], 1<<31) }, fmt.Sprintf(`page %d: element 0 has flags 0x0 and 2147483648\+`, child)},
		"value of gigabytes":   {func(m image) { put32(m.element(child, 0)[12:], 1<<32-1) }, fmt.Sprintf(`page %d: element 0 has flags 0x0 and 4\+4294967295`, child)},
		"flags":                {func(m image) { put32(m.element(child, 0), 2) }, fmt.Sprintf(`page %d: element 0 has flags 0x2`, child)},
		"keys that are equal":  {func(m image) { copy(m.data(child, 1)[:4], m.data(child, 0)) }, fmt.Sprintf(`page %d: the key of element 0 is out of order`, child)},
		"keys in wrong order":  {func(m image) { copy(m.data(child, 1), "0000") }, `out of order`},
		"value that is none":   {func(m image) { put32(m.element(child, 0), bucketFlag); copy(m.data(child, 0)[4:], make([]byte, 8)) }, `the bucket of element 0 holds no leaf`},
		"bucket of no page":    {func(m image) { put32(m.element(child, 1), bucketFlag) }, `page 72340172838076673: it is used, and the file has`},
		"bucket of few bytes":  {func(m image) { put32(m.element(outer, 0), bucketFlag) }, `is a bucket of 5 bytes`},
		"bucket of many bytes": {func(m image) { put32(m.element(large, 0), bucketFlag) }, fmt.Sprintf(`page %d: element 0 is a bucket of 3000 bytes`, large)},
		"bucket in itself":     {func(m image) { _, v := m.bucket(outer, "tree"); put64(v, outer) }, fmt.Sprintf(`page %d: it is used twice`, outer)},

		"inline page with a number":     {func(m image) { put64(inline(m), 9) }, `the bucket of element \d holds no leaf`},
		"inline page that is a branch":  {func(m image) { inline(m)[8] = branchPage }, `the bucket of element \d holds no leaf`},
		"inline page that continues":    {func(m image) { inline(m)[12] = 1 }, `the bucket of element \d holds no leaf`},
		"inline page with many keys":    {func(m image) { put16(inline(m)[10:], 9999) }, `9999 elements in \d+ bytes`},
		"inline page, position":         {func(m image) { put32(inline(m)[pageHeader+4:], 1<<30) }, fmt.Sprintf(`page %d: element 0 has`, outer)},
		"inline page, value":            {func(m image) { put32(inline(m)[pageHeader+12:], 1<<30) }, fmt.Sprintf(`page %d: element 0 has`, outer)},
		"inline page, bucket of no use": {func(m image) { inline(m)[pageHeader] = bucketFlag }, fmt.Sprintf(`page %d: element 0 is a bucket`, outer)},
	} {
		t.Run(name, func(t *testing.T) {
			m := slices.Clone(sample)
			test.damage(m)
			err := check(bytes.NewReader(m), int64(len(m)))
			if !errors.Is(err, ErrDamaged) || !regexp.MustCompile(test.want).MatchString(err.Error()) {
				t.Errorf("got %v, want %s", err, test.want)
			}
			if err != nil && strings.Contains(err.Error(), "runtime error") {
				t.Errorf("the check itself fails: %v", err)
			}
		})
	}
	for size := range len(sample) - 1 {
		if size%97 == 0 && size < int(pages)*testPage {
			if err := check(bytes.NewReader(sample[:size]), int64(size)); !errors.Is(err, ErrDamaged) || strings.Contains(err.Error(), "runtime error") {
				t.Errorf("cut at %d: %v", size, err)
			}
		}
	}
}

// TestLeavesAreEquallyDeep: bbolt would join a leaf's elements with those of a branch beside it.
func TestLeavesAreEquallyDeep(t *testing.T) {
	m := sampleFile(t)
	root := native.Uint64(m.meta()[16:])
	rows, _ := m.bucket(root, "rows")
	last := int(native.Uint16(m.page(rows)[10:])) - 1
	leaf := native.Uint64(m.element(rows, last)[8:])
	// The leaf moves to a free page, and a branch above it takes its place.
	freelist := m.page(native.Uint64(m.meta()[32:]))
	below := native.Uint64(freelist[pageHeader:])
	copy(freelist[pageHeader:], freelist[pageHeader+8:testPage])
	native.PutUint16(freelist[10:], native.Uint16(freelist[10:])-1)
	copy(m.page(below)[:testPage], m.page(leaf))
	native.PutUint64(m.page(below), below)
	branch, key := m.page(leaf), m.data(below, 0)[:4]
	native.PutUint16(branch[8:], branchPage)
	native.PutUint16(branch[10:], 1)
	native.PutUint32(branch[pageHeader:], elementSize)
	native.PutUint32(branch[pageHeader+4:], 4)
	native.PutUint64(branch[pageHeader+8:], below)
	copy(branch[pageHeader+elementSize:], key)
	if err := check(bytes.NewReader(m), int64(len(m))); err == nil || !strings.Contains(err.Error(), "are 2 pages, and 1 elsewhere") {
		t.Error(err)
	}
}

// TestOneMetaIsEnough: with either damaged, bbolt uses the other.
func TestOneMetaIsEnough(t *testing.T) {
	for _, at := range []int{pageHeader, testPage + pageHeader} {
		m := sampleFile(t)
		m[at+20]++
		path := filepath.Join(t.TempDir(), "file.db")
		if err := os.WriteFile(path, m, 0o600); err != nil {
			t.Fatal(err)
		}
		f, damage := mustOpen(t, path)
		if damage != nil {
			t.Errorf("a meta page at %d: %v", at, damage)
		}
		put(t, f, "a")
		if err := errors.Join(f.Damage(), f.Close()); err != nil {
			t.Error(err)
		}
	}
}

// TestCheckAcceptsSoundFiles: whatever bbolt makes of many changes passes, at every instant between transactions.
func TestCheckAcceptsSoundFiles(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file.db")
	f, _ := mustOpen(t, path)
	t.Cleanup(func() { f.Close() })
	f.db.NoSync = true
	rng := rand.New(rand.NewPCG(1, uint64(time.Now().UnixNano())))
	for round := range 80 {
		read := make(chan error)
		go func() { // pages that it can see stay pending
			read <- f.View(func(tx *bbolt.Tx) error { return readAll(tx.Cursor().Bucket()) })
		}()
		err := f.Update(func(tx *bbolt.Tx) error {
			b := tx.Bucket(rows)
			if round%20 == 19 {
				if err := tx.DeleteBucket(rows); err != nil {
					return err
				}
				b, _ = tx.CreateBucket(rows)
			}
			for range rng.IntN(60) {
				key := fmt.Appendf(nil, "%0*d", 1+rng.IntN(100), rng.IntN(3000))
				if err := b.Put(key, make([]byte, rng.IntN(1<<rng.IntN(14)))); err != nil {
					return err
				}
			}
			c := b.Cursor()
			most := rng.IntN(1 << rng.IntN(12))
			for k, v := c.Seek(fmt.Appendf(nil, "%d", rng.IntN(3000))); k != nil && most > 0; k, v = c.Next() {
				most--
				if v != nil {
					if err := b.Delete(k); err != nil {
						return err
					}
				}
			}
			nested, err := b.CreateBucketIfNotExists(fmt.Appendf(nil, "bucket %d", rng.IntN(20)))
			if err != nil {
				return err
			}
			return nested.Put(fmt.Appendf(nil, "%d", round), make([]byte, rng.IntN(300)))
		})
		if err := errors.Join(err, <-read); err != nil {
			t.Fatal(err)
		}
		content, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if err := check(bytes.NewReader(content), int64(len(content))); err != nil {
			t.Fatalf("after %d rounds: %v", round, err)
		}
	}
}

// readAll reads all keys and values.
func readAll(b *bbolt.Bucket) error {
	return b.ForEach(func(key, value []byte) error {
		if value == nil {
			return readAll(b.Bucket(key))
		}
		_ = bytes.Count(key, []byte{1}) + bytes.Count(value, []byte{1})
		return nil
	})
}

// TestFileInUseIsNotJudged: a file that another process writes is not judged.
func TestFileInUseIsNotJudged(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file.db")
	f, _ := mustOpen(t, path)
	put(t, f, "a")
	if err := os.Truncate(path, 5000); err != nil { // as a file may look that is written
		t.Fatal(err)
	}
	if _, damage, err := OpenOrReplace(path, format, nothing); damage != nil || !errors.Is(err, errInUse) {
		t.Errorf("%v, %v", damage, err)
	}
	if _, err := os.Stat(path); err != nil {
		t.Error(err)
	}
}

// TestDamageIsNotRestored: of a file that was removed after it became damaged there is no second attempt.
func TestDamageIsNotRestored(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file.db")
	f, _ := mustOpen(t, path)
	defer f.Close()
	put(t, f, "a")
	var root int64
	if err := f.View(func(tx *bbolt.Tx) error { root = int64(tx.Cursor().Bucket().Root()); return nil }); err != nil {
		t.Fatal(err)
	}
	w, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	_, err = w.WriteAt([]byte{255, 255}, root*int64(os.Getpagesize())+10)
	if err := errors.Join(err, w.Close(), os.Remove(path)); err != nil {
		t.Fatal(err)
	}
	if again, err := f.Restore(); again != nil || !errors.Is(err, ErrDamaged) || !errors.Is(f.Damage(), ErrDamaged) {
		t.Errorf("%v, %v, %v", again, err, f.Damage())
	}
	if again, err := f.Restore(); again != nil || err != nil {
		t.Errorf("again: %v, %v", again, err)
	}
}

// FuzzCheck changes bytes of a file. What the check accepts, bbolt reads and writes without panic, fault or large allocation,
// and the file that it leaves is accepted again.
func FuzzCheck(f *testing.F) {
	sample := sampleFile(f)
	f.Add([]byte{})
	for n := 0; n < len(sample)/testPage; n += 10 {
		f.Add([]byte{byte(n), 0x80, 10, 1, byte(n), 0x80, 12, 1, byte(n), 0x80, 24, 20})
	}
	path := filepath.Join(f.TempDir(), "file.db")
	f.Fuzz(func(t *testing.T, changes []byte) {
		m := slices.Clone(sample)
		for ; len(changes) >= 4; changes = changes[4:] { // the page, two bytes for where in it, the value
			at := int(changes[1])<<8 | int(changes[2])
			if at&0x8000 != 0 {
				at %= 4 * elementSize // where it matters most
			}
			m[(int(changes[0])*testPage+at%testPage)%len(m)] = changes[3]
		}
		m.sign()
		if check(bytes.NewReader(m), int64(len(m))) != nil {
			return
		}
		if err := os.WriteFile(path, m, 0o600); err != nil {
			t.Fatal(err)
		}
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		err := guarded(func() error {
			db, err := bbolt.Open(path, 0o600, &bbolt.Options{Timeout: lockTimeout, FreelistType: bbolt.FreelistMapType, NoSync: true, NoGrowSync: true})
			if err != nil {
				return err
			}
			read := db.View(func(tx *bbolt.Tx) error { return readAll(tx.Cursor().Bucket()) })
			written := db.Update(func(tx *bbolt.Tx) error { return thin(tx.Cursor().Bucket()) })
			return errors.Join(read, written, db.Close())
		})
		runtime.ReadMemStats(&after)
		if grown := after.TotalAlloc - before.TotalAlloc; err != nil || grown > 8<<20 {
			t.Fatalf("%d bytes are allocated: %v", grown, err)
		}
		runtime.GC() // finds bad pointers
		if m, err = os.ReadFile(path); err != nil {
			t.Fatal(err)
		}
		if err := check(bytes.NewReader(m), int64(len(m))); err != nil {
			t.Fatal(err)
		}
	})
}

// thin deletes most keys.
func thin(b *bbolt.Bucket) error {
	var keys [][]byte
	if err := b.ForEach(func(key, _ []byte) error { keys = append(keys, bytes.Clone(key)); return nil }); err != nil {
		return err
	}
	for n, key := range keys {
		if nested := b.Bucket(key); nested != nil {
			if err := thin(nested); err != nil {
				return err
			}
		} else if n%8 > 0 {
			if err := b.Delete(key); err != nil {
				return err
			}
		}
	}
	return nil
}

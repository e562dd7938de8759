package zoo

import (
	"bytes"
	"regexp"
	"sync"
	"time"
)

// Output collects the output of a program in the background. The zero value is empty and ready; it is safe for concurrent
// use.
type Output struct {
	mu      sync.Mutex
	text    bytes.Buffer
	changed chan struct{} // closed at the next write; nil: no waiting call
}

// Write implements io.Writer.
func (o *Output) Write(b []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.changed != nil {
		close(o.changed)
		o.changed = nil
	}
	return o.text.Write(b)
}

func (o *Output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

// Await returns the first match of re and its groups. It returns nil if there is none when done is closed (nothing more will
// be written) or when patience is over.
func (o *Output) Await(re *regexp.Regexp, done <-chan struct{}, patience time.Duration) []string {
	timeout := time.After(patience)
	for {
		match, changed := o.find(re)
		if match != nil {
			return match
		}
		select {
		case <-changed:
		case <-done:
			match, _ = o.find(re)
			return match
		case <-timeout:
			return nil
		}
	}
}

// find returns the first match, and a channel that is closed at the next write.
func (o *Output) find(re *regexp.Regexp) ([]string, <-chan struct{}) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.changed == nil {
		o.changed = make(chan struct{})
	}
	return re.FindStringSubmatch(o.text.String()), o.changed
}

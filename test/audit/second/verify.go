// Verifies a log with the packages that Go verifies its own module log with: golang.org/x/mod/sumdb/note for signed
// notes, and golang.org/x/mod/sumdb/tlog for the tree, its tiles and its proofs. None of it is Hallpass's.
//
// Usage: verify LOG-URL VERIFIER-KEY, with {"checkpoint", "proof"} on standard input: an earlier checkpoint, and a
// receipt in the form of C2SP tlog-proof. It prints what it verified, or fails.
package main

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

type input struct {
	Checkpoint string `json:"checkpoint"`
	Proof      string `json:"proof"`
}

type output struct {
	Size    int64  `json:"size"`
	OldSize int64  `json:"oldSize"`
	Index   int64  `json:"index"`
	Entry   string `json:"entry"`
}

func main() {
	out, err := run(os.Args[1], os.Args[2], os.Stdin)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	json.NewEncoder(os.Stdout).Encode(out)
}

func run(url, key string, stdin io.Reader) (*output, error) {
	var in input
	if err := json.NewDecoder(stdin).Decode(&in); err != nil {
		return nil, err
	}
	verifier, err := note.NewVerifier(key)
	if err != nil {
		return nil, err
	}
	old, err := openCheckpoint(in.Checkpoint, verifier)
	if err != nil {
		return nil, fmt.Errorf("earlier checkpoint: %w", err)
	}
	newest, err := fetch(url + "/checkpoint")
	if err != nil {
		return nil, err
	}
	tree, err := openCheckpoint(string(newest), verifier)
	if err != nil {
		return nil, fmt.Errorf("newest checkpoint: %w", err)
	}
	// It holds every tile against the signed root before it is used.
	hashes := tlog.TileHashReader(*tree, &tiles{url})
	growth, err := tlog.ProveTree(tree.N, old.N, hashes)
	if err != nil {
		return nil, fmt.Errorf("tiles: %w", err)
	}
	if err := tlog.CheckTree(growth, tree.N, tree.Hash, old.N, old.Hash); err != nil {
		return nil, fmt.Errorf("consistency: %w", err)
	}
	index, entry, err := checkReceipt(in.Proof, verifier)
	if err != nil {
		return nil, fmt.Errorf("receipt: %w", err)
	}
	place, err := tlog.ProveRecord(tree.N, index, hashes)
	if err != nil {
		return nil, err
	}
	if err := tlog.CheckRecord(place, tree.N, tree.Hash, index, tlog.RecordHash(entry)); err != nil {
		return nil, fmt.Errorf("inclusion by tiles: %w", err)
	}
	return &output{tree.N, old.N, index, string(entry)}, nil
}

// openCheckpoint verifies a note, and reads the tree that it is of.
func openCheckpoint(text string, verifier note.Verifier) (*tlog.Tree, error) {
	opened, err := note.Open([]byte(text), note.VerifierList(verifier))
	if err != nil {
		return nil, err
	}
	lines := strings.Split(opened.Text, "\n")
	if len(lines) < 4 || lines[0] != verifier.Name() {
		return nil, fmt.Errorf("not a checkpoint of %s", verifier.Name())
	}
	size, err := strconv.ParseInt(lines[1], 10, 64)
	if err != nil {
		return nil, err
	}
	root, err := tlog.ParseHash(lines[2])
	if err != nil {
		return nil, err
	}
	return &tlog.Tree{N: size, Hash: root}, nil
}

// checkReceipt verifies a C2SP tlog-proof with its entry as extra data, offline.
func checkReceipt(text string, verifier note.Verifier) (int64, []byte, error) {
	head, checkpoint, ok := strings.Cut(text, "\n\n")
	lines := strings.Split(head, "\n")
	if !ok || len(lines) < 3 || lines[0] != "c2sp.org/tlog-proof@v1" {
		return 0, nil, fmt.Errorf("not a tlog-proof")
	}
	entry, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(lines[1], "extra "))
	if err != nil {
		return 0, nil, err
	}
	index, err := strconv.ParseInt(strings.TrimPrefix(lines[2], "index "), 10, 64)
	if err != nil {
		return 0, nil, err
	}
	var path tlog.RecordProof
	for _, line := range lines[3:] {
		hash, err := tlog.ParseHash(line)
		if err != nil {
			return 0, nil, err
		}
		path = append(path, hash)
	}
	tree, err := openCheckpoint(checkpoint, verifier)
	if err != nil {
		return 0, nil, err
	}
	return index, entry, tlog.CheckRecord(path, tree.N, tree.Hash, index, tlog.RecordHash(entry))
}

// tiles reads tiles of hashes where C2SP tlog-tiles has them: the path of Go's own without the height, which is 8.
type tiles struct{ url string }

func (t *tiles) Height() int                         { return 8 }
func (t *tiles) SaveTiles(_ []tlog.Tile, _ [][]byte) {}
func (t *tiles) ReadTiles(wanted []tlog.Tile) ([][]byte, error) {
	var all [][]byte
	for _, tile := range wanted {
		data, err := fetch(t.url + "/" + strings.Replace(tile.Path(), "tile/8/", "tile/", 1))
		if err != nil {
			return nil, err
		}
		all = append(all, data)
	}
	return all, nil
}

func fetch(url string) ([]byte, error) {
	answer, err := http.Get(url)
	if err != nil {
		return nil, err
	}
	defer answer.Body.Close()
	var body bytes.Buffer
	if _, err := io.Copy(&body, answer.Body); err != nil {
		return nil, err
	}
	if answer.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s: %s", url, answer.Status)
	}
	return body.Bytes(), nil
}

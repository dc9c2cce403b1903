package deploy_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"crossdock/internal/testservices"
)

func dockerfile(t *testing.T) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("..", "Dockerfile"))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// A binary that loads libraries needs a dynamic linker, which the image does not have.
func TestTheImagesBinaryLoadsNoLibrary(t *testing.T) {
	tags := regexp.MustCompile(`-tags (\S+)`).FindStringSubmatch(dockerfile(t))
	if tags == nil {
		t.Fatal("the Dockerfile builds without tags")
	}
	cmd := exec.CommandContext(t.Context(), "go", "list", "-deps", "-tags", tags[1], "./cmd/crossdock")
	cmd.Dir = testservices.Root(t)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(out), "purego") {
		t.Errorf("with -tags %s the binary still has purego", tags[1])
	}
}

func TestTheImageIsBuiltWithTheModulesGo(t *testing.T) {
	b, err := os.ReadFile(filepath.Join("..", "go.mod"))
	if err != nil {
		t.Fatal(err)
	}
	version := regexp.MustCompile(`(?m)^go (\d+\.\d+)`).FindStringSubmatch(string(b))
	if version == nil || !strings.Contains(dockerfile(t), "golang:"+version[1]+"-") {
		t.Errorf("go.mod says Go %v, the Dockerfile another", version)
	}
}

func TestTheImageRunsAsNobody(t *testing.T) {
	if d := dockerfile(t); !regexp.MustCompile(`(?m)^USER 65532:65532$`).MatchString(d) || strings.Count(d, "\nFROM ") != 2 {
		t.Error("the last stage of the Dockerfile has no USER 65532:65532, or there are not two stages")
	}
}

package source
import ("testing";"mariner/internal/store";"mariner/internal/ui";"fmt";"time";"os")
type pr struct{}
func (pr) Emit(e ui.Event){ fmt.Println(time.Now().Format("05.000"),e.Type,e.Name,e.Message,e.Done,e.Total,e.Duration) }
func TestZZ(t *testing.T){
 s,err:=store.Open("/tmp/g2/store"); if err!=nil{t.Fatal(err)}
 defer s.Close()
 f:=New(s,Options{Sink:pr{}})
 d:=t.TempDir()+"/pkg"; os.Mkdir(d,0o755)
 refs:=[]Ref{
  {Package:"pkg",SpecFile:"pkg.spec",Line:7,URL:"apt:trixie/zlib/zlib_1.3.dfsg+really1.3.1.orig.tar.gz"},
  {Package:"pkg",SpecFile:"pkg.spec",Line:8,URL:"apt:trixie/expat/expat_2.8.2.orig.tar.gz"},
  {Package:"pkg",SpecFile:"pkg.spec",Line:9,URL:"https://www.netfilter.org/pub/libnftnl/libnftnl-1.2.6.tar.xz"},
  {Package:"pkg",SpecFile:"pkg.spec",Line:10,URL:"apt:trixie/systemd/systemd_257.13-1~deb13u1.debian.tar.xz"},
  {Package:"pkg",SpecFile:"pkg.spec",Line:11,URL:"gomod:github.com/opencontainers/runc@v1.3.3#/runc-1.3.3.tar"},
 }
 n:=time.Now()
 if err:=f.Update(t.Context(),d,refs); err!=nil { t.Error(err) }
 fmt.Println("update",time.Since(n))
 b,_:=os.ReadFile(d+"/pkg.signatures.json"); fmt.Println(string(b))
 sg,err:=ReadSignatures(d+"/pkg.signatures.json"); if err!=nil{t.Fatal(err)}
 n=time.Now(); m,err:=f.Fetch(t.Context(),d,sg,refs); fmt.Println(m,err,time.Since(n))
}

/** The style of the web page: light or dark as the reader's system is, one column on a phone. */
export const PAGE_STYLE = `
:root{color-scheme:light dark;--back:#f5f6f8;--panel:#fff;--text:#1b1f24;--dim:#5b6572;--edge:#dde1e6;
--good:#18794e;--good-back:#dff3e6;--warn:#8a5a00;--warn-back:#fdf0d5;--bad:#b42318;--bad-back:#fde5e2;
--c0:#2563c9;--c1:#c2570c;--c2:#18794e;--c3:#8e3bb0;--c4:#b42318;--c5:#0e7490;--c6:#7a6a00;--c7:#5b6572}
@media (prefers-color-scheme:dark){:root{--back:#12151a;--panel:#1c2128;--text:#e6e9ed;--dim:#9aa5b1;--edge:#323a44;
--good:#5fd39a;--good-back:#143524;--warn:#f0b952;--warn-back:#3a2c0d;--bad:#ff8f85;--bad-back:#451d1a;
--c0:#6ea8ff;--c1:#ff9d5c;--c2:#5fd39a;--c3:#d18cf0;--c4:#ff8f85;--c5:#4fd1e6;--c6:#e0cf5a;--c7:#9aa5b1}}
*{box-sizing:border-box}
body{margin:0;background:var(--back);color:var(--text);font:16px/1.45 system-ui,sans-serif}
main,footer{max-width:72rem;margin:0 auto;padding:0 1rem}
header{display:flex;flex-wrap:wrap;align-items:center;gap:.4rem 1rem;padding:1rem 0}
h1{font-size:1.35rem;margin:0}
h2{font-size:1.05rem;margin:0}
.dim,dt,figcaption,footer{color:var(--dim);font-size:.9rem}
.badge{border-radius:1rem;padding:.1rem .7rem;font-size:.9rem;font-weight:600;white-space:nowrap}
.good{color:var(--good);background:var(--good-back)}
.warn{color:var(--warn);background:var(--warn-back)}
.bad{color:var(--bad);background:var(--bad-back)}
.panel{background:var(--panel);border:1px solid var(--edge);border-radius:.6rem;padding:.8rem 1rem;margin:0 0 1rem}
.tiles{display:grid;grid-template-columns:repeat(auto-fit,minmax(8.5rem,1fr));gap:.6rem;margin:0 0 1rem}
.tiles .panel{margin:0}
.tiles b{display:block;font-size:1.35rem;overflow-wrap:anywhere}
.nodes{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,20rem),1fr));gap:1rem}
.nodes .panel{margin:0}
.nodes{margin:0 0 1rem}
.top{display:flex;justify-content:space-between;align-items:center;gap:.5rem;flex-wrap:wrap}
dl{display:grid;grid-template-columns:auto 1fr;gap:.15rem .8rem;margin:.6rem 0 0}
dd{margin:0;overflow-wrap:anywhere}
ul{margin:.6rem 0 0;padding:.5rem .8rem .5rem 1.6rem;border-radius:.4rem}
li{overflow-wrap:anywhere}
.charts{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,24rem),1fr));gap:0 1rem}
svg{display:block;width:100%;height:auto;margin-top:.4rem}
svg text{fill:var(--dim);font-size:13px}
.axis{fill:none;stroke:var(--edge)}
.line{fill:none;stroke-width:1.6;stroke-linejoin:round;stroke-linecap:round}
.legend{float:right}.legend span{margin-left:.8rem;white-space:nowrap}
.legend i{display:inline-block;width:.7rem;height:.7rem;border-radius:.2rem;margin-right:.3rem}
${
  [0, 1, 2, 3, 4, 5, 6, 7].map((at) => `path.c${at}{stroke:var(--c${at})}i.c${at}{background:var(--c${at})}`)
    .join("")
}
footer{padding-bottom:2rem}
a{color:inherit}
#late{display:none}
.late #late{display:inline}
`;

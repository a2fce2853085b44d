/** The site: the pages of this folder, and the reference that TypeDoc makes of the sources. */

import { defineConfig } from 'vitepress';
import { PLACE } from '../../scripts/docs/place.mjs';

export default defineConfig({
  title: 'syncbn',
  description: 'Batch normalization whose statistics span all devices that share a batch, in browsers and Node',
  lang: 'en',
  // Where the site lies is found out by each page: see scripts/docs/relocate.mjs.
  base: PLACE,
  outDir: '../build/site',
  cacheDir: '../build/site_cache',
  srcExclude: ['decisions/**'],
  // No picture stands for the site; browsers ask for one unless told so.
  head: [['link', { rel: 'icon', href: 'data:,' }]],
  cleanUrls: false,
  lastUpdated: false,
  // Nothing of a page comes from elsewhere, and no page loads others before it is asked to.
  router: { prefetchLinks: false },
  markdown: { theme: { light: 'github-light-high-contrast', dark: 'github-dark-high-contrast' } },
  ignoreDeadLinks: [/decisions\//],
  themeConfig: {
    search: {
      provider: 'local',
      options: { translations: { button: { buttonText: 'Search', buttonAriaLabel: 'Search' } } },
    },
    outline: { level: [2, 3] },
    nav: [
      { text: 'Get started', link: '/get_started' },
      { text: 'Reference', link: '/api/main/' },
      { text: 'Errors', link: '/troubleshooting' },
    ],
    sidebar: [
      {
        text: 'Begin',
        items: [
          { text: 'Why synchronize', link: '/why_synchronize' },
          { text: 'Get started', link: '/get_started' },
          { text: 'Coming from PyTorch', link: '/coming_from_pytorch' },
          { text: 'Coming from TensorFlow.js', link: '/coming_from_tensorflow_js' },
        ],
      },
      {
        text: 'Use',
        items: [
          { text: 'Devices: cores, GPUs, machines', link: '/devices' },
          { text: 'TensorFlow.js models on several devices', link: '/tfjs' },
          { text: 'TensorFlow.js on one device', link: '/tfjs_on_one_device' },
          { text: 'Several processes and machines', link: '/distributed' },
          { text: 'Your own layers', link: '/your_own_layers' },
          { text: 'Saving and loading', link: '/saving_and_loading' },
          { text: 'Memory', link: '/memory' },
          { text: 'Other engines', link: '/other_engines' },
        ],
      },
      {
        text: 'Know',
        items: [
          { text: 'Numerics: what is equal to what', link: '/numerics' },
          { text: 'How it works', link: '/how_it_works' },
          { text: 'Troubleshooting', link: '/troubleshooting' },
          { text: 'Performance', link: '/performance' },
          { text: 'Platforms', link: '/platforms' },
        ],
      },
      {
        text: 'Reference',
        items: [
          { text: 'syncbn', link: '/api/main/' },
          { text: 'functional', link: '/api/main/namespaces/functional' },
          { text: 'syncbn/safetensors', link: '/api/safetensors' },
          { text: 'syncbn/tfjs', link: '/api/tfjs' },
          { text: 'syncbn/distributed', link: '/api/distributed' },
          { text: 'syncbn/slim', link: '/api/slim' },
        ],
      },
    ],
  },
});
